package shell

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// The interpreter runs subshells as parts of itself. Rewritten scripts make a process of each one that can run beside others or
// be counted: ( list ), the sides of a pipeline but the last, and background jobs. Command substitutions are the shell's own
// work, which it waits for.

// Kinds of forks.
const (
	forkSubshell   = "subshell" // its parent waits
	forkPipe       = "pipe"
	forkBackground = "background"
)

// fork is a process that a script made.
type fork struct {
	process *Process
	kind    string
	single  bool         // it runs one simple command
	calls   atomic.Int64 // commands that it has called
	release func() bool
}

// forked wraps a statement so that it runs as a process of its own: a loop that is run once, since nothing else can set a
// variable without a trace in $? or in the output of set -x.
//
//	for ((own = PID; own > 0; own = $(<done))); do (statement); done
func (r *rewriter) forked(st *syntax.Stmt, pid syntax.ArithmExpr) *syntax.Stmt {
	inner, ok := st.Cmd.(*syntax.Subshell)
	if !ok || len(st.Redirs) > 0 || st.Negated {
		inner = &syntax.Subshell{Stmts: []*syntax.Stmt{st}}
		st = &syntax.Stmt{Cmd: inner}
	}
	r.keep[inner] = true
	loop := &syntax.CStyleLoop{
		Init: set(varOwn, pid),
		Cond: &syntax.BinaryArithm{Op: syntax.Gtr, X: word(lit(varOwn)), Y: word(lit("0"))},
		Post: set(varOwn, word(r.hook("done"))),
	}
	return &syntax.Stmt{Cmd: &syntax.ForClause{Loop: loop, Do: []*syntax.Stmt{st}}}
}

// newProcess yields the process id of a fork for st.
func (r *rewriter) newProcess(kind string, st *syntax.Stmt) *syntax.Word {
	single := "0"
	if c, ok := st.Cmd.(*syntax.CallExpr); ok && len(c.Args) > 0 {
		single = "1"
	}
	return word(r.hook("fork/" + kind + "/" + single))
}

// background replaces "statement &" by
//
//	for ((last = PID, once = 1; once > 0; once = $(<name))); do forked(statement) & done
//
// whose process is made in the parent, where $! is asked for.
func (r *rewriter) background(st *syntax.Stmt) *syntax.Stmt {
	st.Background, st.Disown = false, false
	jobName := &syntax.ParamExp{Short: true, Param: lit("!")}
	r.keep[jobName] = true
	loop := &syntax.CStyleLoop{
		Init: &syntax.BinaryArithm{Op: syntax.Comma, X: set(varLast, r.newProcess(forkBackground, st)), Y: set(varOnce, word(lit("1")))},
		Cond: &syntax.BinaryArithm{Op: syntax.Gtr, X: word(lit(varOnce)), Y: word(lit("0"))},
		Post: set(varOnce, word(r.hook("name/", param(varLast), lit("/"), jobName))),
	}
	job := r.forked(st, word(lit(varLast)))
	job.Background = true
	r.keep[job] = true
	return &syntax.Stmt{Cmd: &syntax.ForClause{Loop: loop, Do: []*syntax.Stmt{job}}}
}

func set(name string, value syntax.ArithmExpr) syntax.ArithmExpr {
	return &syntax.BinaryArithm{Op: syntax.Assgn, X: word(lit(name)), Y: value}
}

// forkOf returns the fork that a command belongs to, or nil.
func (s *script) forkOf(env expand.Environ) *fork {
	pid, err := strconv.Atoi(env.Get(varOwn).String())
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forks[pid]
}

// current is the process that a command belongs to.
func (s *script) current(env expand.Environ) *Process {
	if f := s.forkOf(env); f != nil {
		return f.process
	}
	return s.process
}

// fork makes a process. That there are too many ends the shell: a fork bomb stops here.
func (s *script) fork(hc interp.HandlerContext, parent *Process, kind string, single bool) (pid int, err error) {
	p, err := s.machine.Start(parent.Ctx, Origin{parent.PID, s.proc.User.UID, s.limits(hc.Env)}, []string{"sh"})
	if err != nil {
		return 0, fmt.Errorf("sh: %w", err)
	}
	if kind == forkSubshell {
		parent.clock.nap()
	}
	s.machine.inherit(p, parent)
	f := &fork{process: p, kind: kind, single: single}
	// When the shell is killed the interpreter leaves without a word.
	f.release = context.AfterFunc(s.process.Ctx, func() { s.forget(f) })
	s.mu.Lock()
	s.forks[p.PID] = f
	s.mu.Unlock()
	return p.PID, nil
}

func (m *Machine) inherit(child, parent *Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	child.memory.narrow = parent.memory.narrow
}

// done ends the process of a fork, when its last command has ended.
func (s *script) done(env expand.Environ) {
	if f := s.forkOf(env); f != nil {
		f.release()
		s.forget(f)
	}
}

func (s *script) forget(f *fork) {
	s.mu.Lock()
	delete(s.forks, f.process.PID)
	s.mu.Unlock()
	s.machine.Finish(f.process)
}

// leave ends the forks that the shell has left behind, but for its background jobs.
func (s *script) leave() {
	s.mu.Lock()
	var left []*fork
	for _, f := range s.forks {
		if f.kind != forkBackground {
			left = append(left, f)
		}
	}
	s.mu.Unlock()
	for _, f := range left {
		f.release()
		s.forget(f)
	}
}

// nameJob notes what the interpreter calls a background job, for waitFor.
func (s *script) nameJob(pid, job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[pid] = job
}

// jobName is what the interpreter calls a process, if it is a background job of this shell.
func (s *script) jobName(pid string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, ok := s.jobs[pid]
	return name, ok
}

// owns answers whether a file belongs to the user, for [[ -O file ]], or to its group, for -G.
func (s *script) owns(hc interp.HandlerContext, operator, name string) bool {
	info, err := s.machine.FS.Stat(s.proc.User, absolute(hc.Dir, name), true)
	if err != nil {
		return false
	}
	if operator == "-G" {
		return info.GID == s.proc.User.GID
	}
	return info.UID == s.proc.User.UID
}
