package monitor

import (
	"sync"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// state of the VM: none -> creating -> created -> running <-> paused -> stopped. A creation that fails goes back to none.
type state string

const (
	none     state = "none"
	creating state = "being created"
	created  state = "created"
	running  state = "running"
	paused   state = "paused"
	stopped  state = "stopped"
)

// states guards the state. One call at a time may change it, so that two that overlap cannot both find it right.
type states struct {
	mu  sync.Mutex
	now state
}

func (s *states) get() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// set is for what happens whatever the state is.
func (s *states) set(to state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = to
}

// change goes from one state to another when do succeeds. A state other than from is errdef.ErrState.
func (s *states) change(call string, from, to state, do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != from {
		return errdef.New(errdef.ErrState, "cannot %s: the VM is %s, not %s", call, s.now, from)
	}
	if err := do(); err != nil {
		return err
	}
	s.now = to
	return nil
}
