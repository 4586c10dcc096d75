package startup

import (
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/guest/agent/internal/serve"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// The agent's heap is a few MiB; these keep it there, since what it takes is taken from the guest.
const (
	gcPercent   = 100
	memoryLimit = 48 << 20
)

func tune() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
}

type server struct {
	grpc   *grpc.Server
	failed chan error
}

func newServer(token []byte, s sandbox.Sandbox, log *slog.Logger, l net.Listener) *server {
	srv := &server{grpc: serve.NewServer(token, s, log), failed: make(chan error, 1)}
	go func() { srv.failed <- srv.grpc.Serve(l) }()
	return srv
}

// farewell is the time that calls under way get to end, the one that asked for the shutdown among them.
const farewell = time.Second

// until serves until ended is closed, and lets the answers out that are on their way.
func (s *server) until(ended <-chan struct{}) error {
	select {
	case err := <-s.failed:
		return fmt.Errorf("serve: %w", err)
	case <-ended:
	}
	force := time.AfterFunc(farewell, s.grpc.Stop)
	defer force.Stop()
	s.grpc.GracefulStop()
	return <-s.failed
}
