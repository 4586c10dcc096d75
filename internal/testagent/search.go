package testagent

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/internal/canary"
	"github.com/voidbox-run/voidbox/internal/modelserver"
)

// Search looks for a key in the middle of a run and after it: in every process but those that must have it, and in all that is left.
type Search struct {
	t   testing.TB
	pid int
	key string

	mu       sync.Mutex
	requests int
	searched []string
}

// NewSearch looks below the process of pid.
func NewSearch(t testing.TB, pid int, key string) *Search { return &Search{t: t, pid: pid, key: key} }

// Request is the server's, before it answers: the agent in the guest has worked by the second, and is alive.
func (s *Search) Request(modelserver.Received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests++; s.requests != 2 {
		return
	}
	processes, err := canary.Below(s.pid)
	if err != nil {
		s.t.Error(err)
	}
	for _, p := range processes {
		where, looked, err := p.Find(s.key)
		switch holder := holdsKeys(p); {
		case errors.Is(err, os.ErrNotExist): // it has ended since
		case err != nil:
			s.t.Errorf("%s (%d): %v", p.Name(), p.PID, err)
		case holder && p.Name() == "voidbox" && where == "":
			s.t.Errorf("the broker (%d) has no key: the search finds nothing", p.PID)
		case !holder && where != "":
			s.t.Errorf("%s (%d) holds the key: %s", p.Name(), p.PID, where)
		default:
			s.searched = append(s.searched, fmt.Sprintf("%s: %d MiB", p.Name(), looked>>20))
		}
	}
}

// holdsKeys tells the broker and providers from all else.
func holdsKeys(p canary.Process) bool {
	return strings.HasPrefix(p.Name(), "voidbox-llm-") || p.Name() == "voidbox" && len(p.Args) > 1 && p.Args[1] == "broker"
}

// Searched are the processes that were looked at and have no key, or may have it.
func (s *Search) Searched() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.searched
}

// Left looks at what stays behind.
func (s *Search) Left(dir, said string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, looked, err := canary.Files(dir, s.key)
	if err != nil || looked == 0 || len(found) > 0 {
		s.t.Errorf("of %d files of the run, %v hold the key; %v", looked, found, err)
	}
	if strings.Contains(said, s.key) {
		s.t.Error("voidbox has printed the key")
	}
	if s.requests >= 2 && len(s.searched) < 4 {
		s.t.Errorf("the key was looked for in few processes: %v", s.searched)
	}
}
