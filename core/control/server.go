package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Names and bounds.
const (
	socketName = "control.sock"
	linkName   = "control.sock"

	maxHeader  = 16 << 10
	maxBody    = 64 << 10
	headerTime = 5 * time.Second
)

// Server is the end of a run.
type Server struct {
	http  http.Server
	link  string
	stop  context.CancelFunc // of what requests wait for
	ended chan struct{}
}

// Serve listens in dir, which must be private to the user, and leaves a link in the run directory.
func Serve(dir, runDir string, handler http.Handler) (*Server, error) {
	path := filepath.Join(dir, socketName)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("make the run's socket: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{ended: make(chan struct{}), stop: cancel, http: http.Server{
		Handler: handler, BaseContext: func(net.Listener) context.Context { return ctx }, ReadHeaderTimeout: headerTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}}
	if runDir != "" {
		s.link = filepath.Join(runDir, linkName)
		if err := os.Symlink(path, s.link); err != nil {
			l.Close()
			cancel()
			return nil, fmt.Errorf("make the run's socket known: %w", err)
		}
	}
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Warn("the run cannot be spoken to any more", "error", err)
		}
	}()
	return s, nil
}

// Close ends the contexts of requests, lets them answer as long as ctx allows, and waits for them. Nothing is left of the server.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.ended
	if s.link != "" {
		err = errors.Join(err, os.Remove(s.link))
	}
	return err
}
