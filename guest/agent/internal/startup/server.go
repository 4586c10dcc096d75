package startup

import (
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/guest/agent/internal/agent"
	"github.com/voidbox-run/voidbox/guest/agent/internal/serve"
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
	ended  <-chan struct{}
	failed chan error
}

func newServer(token []byte, a *agent.Agent, log *slog.Logger, l net.Listener) *server {
	s := &server{grpc: serve.NewServer(token, a, a.Ended(), log), ended: a.Ended(), failed: make(chan error, 1)}
	go func() { s.failed <- s.grpc.Serve(l) }()
	return s
}

// farewell is the time that calls under way get to end, the one that asked for the shutdown among them.
const farewell = time.Second

// wait serves until the sandbox has ended, and lets the answers out that are on their way.
func (s *server) wait() error {
	select {
	case err := <-s.failed:
		return fmt.Errorf("serve: %w", err)
	case <-s.ended:
	}
	force := time.AfterFunc(farewell, s.grpc.Stop)
	defer force.Stop()
	s.grpc.GracefulStop()
	return <-s.failed
}
