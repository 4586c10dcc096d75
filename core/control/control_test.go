package control

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server and returns the run directory that leads to it.
func serve(t *testing.T, handler http.Handler) (runDir string, s *Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vb") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	runDir = t.TempDir()
	if s, err = Serve(dir, runDir, handler); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.link != "" {
			s.Close(context.Background())
		}
	})
	return runDir, s
}

func open(t *testing.T, runDir string) *Client {
	t.Helper()
	c, err := Open(runDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// An error arrives as what it was.
func TestErrorsTravel(t *testing.T) {
	var err error
	runDir, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { Fail(w, err) }))
	c := open(t, runDir)
	for _, s := range statuses {
		err = errdef.New(s.kind, "no such luck").WithReason("unlucky").WithRemedy("try again")
		got := c.Cancel(t.Context())
		var e *errdef.Error
		if !errors.Is(got, s.kind) || !errors.As(got, &e) || e.Message != "no such luck" || e.Reason != "unlucky" || e.Remedy != "try again" {
			t.Errorf("%v arrives as %v", err, got)
		}
	}
	err = errors.New("plain")
	if got := c.Cancel(t.Context()); got == nil || got.Error() != "plain" {
		t.Errorf("%v arrives as %v", err, got)
	}
}

func TestARunThatIsOver(t *testing.T) {
	runDir, s := serve(t, http.NotFoundHandler())
	c := open(t, runDir)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.link = ""
	if err := c.Cancel(t.Context()); !errors.Is(err, errdef.ErrState) {
		t.Errorf("a run that ended: %v", err)
	}
	if left, _ := os.ReadDir(runDir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := Open(runDir); !errors.Is(err, errdef.ErrState) || errdef.Remedy(err) == "" {
		t.Errorf("one that has ended: %v", err)
	}
	if _, err := Open(filepath.Join(runDir, "none")); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("one that never was: %v", err)
	}
	// What a killed run leaves: a link to a socket that is gone, or that nobody listens at.
	if err := os.Symlink(filepath.Join(runDir, "gone"), filepath.Join(runDir, linkName)); err != nil {
		t.Fatal(err)
	}
	if err := open(t, runDir).Cancel(t.Context()); !errors.Is(err, errdef.ErrState) {
		t.Errorf("one that was killed: %v", err)
	}
}

// The end of a run does not wait for what it was asked.
func TestCloseEndsRequests(t *testing.T) {
	asked := make(chan struct{})
	runDir, s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		Fail(w, errdef.New(errdef.ErrUnavailable, "the run ends"))
	}))
	c := open(t, runDir)
	got := make(chan error)
	go func() { got <- c.Cancel(t.Context()) }()
	<-asked
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	s.link = ""
	if err := <-got; !errors.Is(err, errdef.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestStrangeRequests(t *testing.T) {
	runDir, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p Publish
		if err := Read(w, r, &p); err != nil {
			Fail(w, err)
			return
		}
		Reply(w, Published{Address: p.Protocol})
	}))
	c := open(t, runDir)
	if got, err := c.Publish(t.Context(), Publish{Protocol: "tcp"}); err != nil || got.Address != "tcp" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, body := range []any{"text", map[string]int{"bogus": 1}, Publish{HostAddress: strings.Repeat("x", maxBody)}, nil} {
		if err := c.call(t.Context(), http.MethodPost, "/publish", body, nil); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("%.50v: %v", body, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(404, []byte(`{"error":"none","remedy":"make one"}`))
	f.Add(500, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if failure(status, body) == nil {
			t.Error("a failure that is none")
		}
	})
}
