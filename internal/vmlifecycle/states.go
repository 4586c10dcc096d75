package vmlifecycle

import (
	"sync"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// State of a VM.
type State string

// The states. A creation that fails goes back to None.
const (
	None     State = "none"
	Creating State = "being created"
	Created  State = "created"
	Running  State = "running"
	Paused   State = "paused"
	Stopped  State = "stopped"
)

// States guards the state. One call at a time may change it, so that two that overlap cannot both find it right.
type States struct {
	mu  sync.Mutex
	now State
}

// NewStates returns the state None.
func NewStates() *States { return &States{now: None} }

// Get returns the state. While a change is under way it waits for its end.
func (s *States) Get() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Set is for what happens whatever the state is.
func (s *States) Set(to State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = to
}

// Change goes from one state to another when do succeeds. A state other than from is errdef.ErrState.
func (s *States) Change(call string, from, to State, do func() error) error {
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
