package serve

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// panicking is a sandbox with a bug.
type panicking struct{ sandbox.Sandbox }

func (panicking) Info(context.Context) (sandbox.Info, error) { panic("unary") }
func (panicking) Exec(context.Context, sandbox.Command, sandbox.IO) (sandbox.Exit, error) {
	panic("stream")
}
func (panicking) Metrics(context.Context) (sandbox.Metrics, error) { return sandbox.Metrics{}, nil }

func TestAPanicIsAnErrorOfItsCall(t *testing.T) {
	token := []byte(strings.Repeat("t", sandbox.TokenSize))
	l, err := ListenUnix("unix:" + filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	server := NewServer(token, panicking{}, ended, slog.New(slog.DiscardHandler))
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(l) }()
	conn, err := grpc.NewClient("unix://"+l.Addr().String(), append(sandbox.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	s := sandbox.NewClient(conn, token)
	if _, err := s.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("unary: %v", err)
	}
	if _, err := s.Exec(t.Context(), sandbox.Command{Args: []string{"x"}}, sandbox.IO{}); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("stream: %v", err)
	}
	if _, err := s.Metrics(t.Context()); err != nil {
		t.Errorf("the next call: %v", err)
	}
	close(ended)
	if _, err := s.Metrics(t.Context()); !errors.Is(err, errdef.ErrState) {
		t.Errorf("after the end: %v", err)
	}
	_ = conn.Close()
	server.Stop()
	<-stopped
}

func TestListenAddresses(t *testing.T) {
	for _, bad := range []string{"", "unix:", "tcp:1234", "/path"} {
		if l, err := ListenUnix(bad); err == nil {
			_ = l.Close()
			t.Errorf("%q was accepted", bad)
		}
	}
}
