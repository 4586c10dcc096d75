package shim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/internal/peercred"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// served is the sandbox as clients get it.
type served struct {
	sandbox.Sandbox
	shim *Shim
}

// Shutdown ends the shim too.
func (s served) Shutdown(ctx context.Context, grace time.Duration) (*sandbox.Exit, error) {
	return s.shim.shutDown(ctx, s.Sandbox, grace)
}

// server is the socket with what serves it.
type server struct {
	grpc *grpc.Server
	done chan struct{}
}

func (s *Shim) serve(box sandbox.Sandbox) (*server, error) {
	listener, err := net.Listen("unix", s.instance.Socket())
	if err != nil {
		return nil, fmt.Errorf("make the sandbox's socket: %w", err)
	}
	srv := &server{grpc: grpc.NewServer(sandbox.ServerOptions()...), done: make(chan struct{})}
	sandbox.Register(srv.grpc, sandbox.Single(s.instance.Token, served{box, s}))
	go func() {
		defer close(srv.done)
		if err := srv.grpc.Serve(ownListener{listener}); err != nil {
			slog.Error("serve the sandbox", "error", err)
		}
	}()
	return srv, nil
}

// farewell is the time that calls get to end by themselves once the sandbox is gone, the one that asked for it among them.
const farewell = 2 * time.Second

func (s *server) stop() {
	force := time.AfterFunc(farewell, s.grpc.Stop)
	defer force.Stop()
	s.grpc.GracefulStop()
	<-s.done
}

// ownListener accepts connections of this user and closes all others.
type ownListener struct{ net.Listener }

func (l ownListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := checkPeer(conn); err != nil {
			slog.Warn("refused a connection", "error", err)
			conn.Close()
			continue
		}
		return conn, nil
	}
}

func checkPeer(conn net.Conn) error {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("not a unix socket")
	}
	pid, uid, err := peercred.Of(unix)
	if err == nil && uid != os.Geteuid() {
		err = fmt.Errorf("process %d belongs to user %d", pid, uid)
	}
	return err
}
