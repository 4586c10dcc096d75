package shell

import (
	"errors"
	"io"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

const (
	// variableOverhead is what a variable, an element or an argument costs beside its bytes.
	variableOverhead = 32
	// definitionFactor is how many bytes the tree of a function takes for each byte of its text.
	definitionFactor = 20
	// maxArgs bounds the arguments of a function or a program, as the kernel does for exec(2).
	maxArgs = 2 << 20
)

var errNoMemory = errors.New("sh: out of memory")

// memory is what a process holds. All of it is guarded by Machine.mu.
type memory struct {
	held    uint64  // variables, when they were last looked at
	defined uint64  // functions and aliases
	pending float64 // what the words of the present command may come to
	narrow  int     // replacements around the present command substitution, see maxCaptured
}

// room says whether an expansion that may take cost has room. first is set for the first word of a command that is asked for.
func (s *script) room(hc interp.HandlerContext, p *Process, first bool, formula, parameters string) error {
	cost := evaluate(formula, func(name string) float64 {
		switch name {
		case positional:
			return float64(len(parameters))
		case everything:
			return float64(total(hc.Env))
		}
		v := hc.Env.Get(name)
		if v.Kind == expand.NameRef {
			return float64(total(hc.Env))
		}
		return float64(size(v))
	})
	return s.machine.hold(p, total(hc.Env), cost, first, s.limits(hc.Env).Memory())
}

// hold records what a process holds, and that the next words may take cost. The machine's memory bounds all processes together.
func (m *Machine) hold(p *Process, held uint64, cost float64, first bool, limit uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	held += p.memory.defined
	if m.processes[p.PID] == p {
		m.held += held - p.memory.held
		p.memory.held = held
	}
	if first {
		p.memory.pending = 0
	}
	p.memory.pending += cost
	if float64(held)+p.memory.pending > float64(limit) || float64(m.held)+cost > float64(m.FS.Limits().Bytes) {
		return errNoMemory
	}
	return nil
}

// define counts the text of functions or aliases.
func (m *Machine) define(p *Process, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.memory.defined += uint64(bytes) * definitionFactor
}

// narrow enters or leaves a replacement.
func (m *Machine) narrow(p *Process, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.memory.narrow += by
}

// captured is how much a command substitution of the process may yield.
func (m *Machine) captured(p *Process, limit uint64) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.memory.narrow > 0 {
		return min(limit, maxCaptured)
	}
	return limit
}

func total(env expand.Environ) uint64 {
	var n uint64
	env.Each(func(name string, v expand.Variable) bool {
		n += uint64(len(name)) + size(v)
		return true
	})
	return n
}

func size(v expand.Variable) uint64 {
	n := uint64(len(v.Str)) + variableOverhead
	for _, e := range v.List {
		n += uint64(len(e)) + variableOverhead
	}
	for k, e := range v.Map {
		n += uint64(len(k)+len(e)) + variableOverhead
	}
	return n
}

// fits checks a command before it runs: its arguments, and what a command substitution around it has collected.
func (s *script) fits(hc interp.HandlerContext, p *Process, args []string) error {
	limit := s.limits(hc.Env).Memory()
	if b, ok := hc.Stdout.(*strings.Builder); ok && uint64(b.Len()) > s.machine.captured(p, limit) {
		return errNoMemory
	}
	bytes := 0
	for _, a := range args {
		bytes += len(a) + variableOverhead
	}
	switch args[0] {
	case "echo", "printf", "test", "[", ":", "true":
		// They run in the shell, and keep nothing: its memory bounds them.
		if !s.isFunction(args[0]) {
			return nil
		}
	case "eval", "read", "mapfile", "readarray", "getopts", "source", ".":
		if err := s.machine.hold(p, total(hc.Env), 0, true, limit); err != nil {
			return err
		}
	case "alias":
		s.machine.define(p, bytes)
	}
	if bytes > maxArgs {
		return errors.New("sh: " + args[0] + ": argument list too long")
	}
	return nil
}

// capture bounds what is written into a command substitution.
type capture struct {
	w    *strings.Builder
	room uint64
	full bool
}

func (c *capture) Write(b []byte) (int, error) {
	if uint64(c.w.Len())+uint64(len(b)) > c.room {
		c.full = true
		return 0, syscall.ENOMEM
	}
	return c.w.Write(b)
}

// output is where a command of the process writes.
func (s *script) output(hc interp.HandlerContext, p *Process, limit uint64) io.Writer {
	if b, ok := hc.Stdout.(*strings.Builder); ok {
		return &capture{w: b, room: s.machine.captured(p, limit)}
	}
	return hc.Stdout
}
