package vcpu

import "errors"

// Save returns the versioned state of a paused set: vCPUs, interrupt controllers and clock.
func (s *Set) Save() ([]byte, error) { return nil, errors.New("not implemented") }

// Load takes a state over, in place of cpu.Reset and Entry.Enter, before Launch or while paused. The bytes may be hostile.
func (s *Set) Load(state []byte) error { return errors.New("not implemented") }
