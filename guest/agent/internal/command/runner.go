package command

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/guest/agent/internal/cgroup"
	"github.com/voidbox-run/voidbox/guest/agent/internal/proc"
	"github.com/voidbox-run/voidbox/guest/agent/internal/users"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Settings are what all commands of a sandbox have in common.
type Settings struct {
	Table    *proc.Table
	Tree     *cgroup.Tree // nil where there are no cgroups
	Env      map[string]string
	Dir      string // empty means the user's home where it exists, else "/"
	User     boot.User
	Limits   boot.Limits
	Commands []boot.CommandRule
}

// Runner runs commands. Close it when all have ended.
type Runner struct {
	Settings
	null   *os.File
	linger time.Duration // how long output is read on after the end of a command that left something running

	gate    sync.RWMutex // held shared to start a command
	frozen  bool
	closing bool

	left leftovers
}

// linger is enough for the tail of a pipeline, and not much to wait for a server.
const linger = 250 * time.Millisecond

// NewRunner makes a runner.
func NewRunner(s Settings) (*Runner, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &Runner{Settings: s, null: null, linger: linger}, nil
}

// Close stops reading what commands that were left running write.
func (r *Runner) Close() {
	r.left.close()
	_ = r.null.Close()
}

// Exec runs a command that the allow-list admits. See sandbox.Sandbox.
func (r *Runner) Exec(ctx context.Context, cmd sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
	p, err := r.plan(cmd)
	if err != nil {
		return sandbox.Exit{}, err
	}
	if err := r.admit(p); err != nil {
		return sandbox.Exit{}, err
	}
	return r.run(ctx, p, stdio)
}

// ExecTrusted is Exec without the allow-list, for what the boot configuration names itself.
func (r *Runner) ExecTrusted(ctx context.Context, cmd sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
	p, err := r.plan(cmd)
	if err != nil {
		return sandbox.Exit{}, err
	}
	return r.run(ctx, p, stdio)
}

// Lookup finds the account that a name or id of the contract means. An agent that is not root has only its own to give.
func (r *Runner) Lookup(user string) (boot.User, error) {
	found, err := users.Lookup(users.Passwd, user, r.User)
	if err != nil || os.Geteuid() == 0 || int(found.UID) == os.Geteuid() && int(found.GID) == os.Getegid() {
		return found, err
	}
	return found, errdef.New(errdef.ErrUnsupported, "act as %s (%d:%d): the agent is not root", found.Name, found.UID, found.GID)
}

// Shut refuses every command from now on.
func (r *Runner) Shut() {
	r.gate.Lock()
	defer r.gate.Unlock()
	r.closing = true
}

// Freeze stops everything that runs. Commands are refused until Thaw.
func (r *Runner) Freeze(ctx context.Context) error {
	if r.Tree == nil {
		return errdef.New(errdef.ErrUnsupported, "freeze needs cgroup v2, which this sandbox does not have")
	}
	r.gate.Lock()
	defer r.gate.Unlock()
	if err := r.Tree.Freeze(ctx); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	r.frozen = true
	return nil
}

// Thaw undoes Freeze.
func (r *Runner) Thaw() error {
	if r.Tree == nil {
		return errdef.New(errdef.ErrUnsupported, "thaw needs cgroup v2, which this sandbox does not have")
	}
	r.gate.Lock()
	defer r.gate.Unlock()
	r.frozen = false
	return r.Tree.Thaw()
}

// running is a command on its way.
type running struct {
	runner *Runner
	child  *proc.Child
	leaf   *cgroup.Leaf // nil where there are no cgroups
	io     *streams
}

func (r *Runner) run(ctx context.Context, p *plan, stdio sandbox.IO) (sandbox.Exit, error) {
	if err := ctx.Err(); err != nil {
		return sandbox.Exit{}, err
	}
	c, err := r.start(p, stdio)
	if err != nil {
		return sandbox.Exit{}, err
	}
	if stdio.Started != nil {
		stdio.Started(c.child.PID)
	}
	c.io.begin()
	timedOut, cause := c.attend(ctx, p.timeout, stdio.Control)
	c.io.finish(r.linger, &r.left)
	exit := c.exit()
	exit.TimedOut = timedOut
	if c.leaf != nil {
		c.leaf.Release()
	}
	return exit, cause
}

func (r *Runner) start(p *plan, stdio sandbox.IO) (_ *running, err error) {
	r.gate.RLock()
	defer r.gate.RUnlock()
	switch {
	case r.closing:
		return nil, errdef.New(errdef.ErrState, "the sandbox is shutting down")
	case r.frozen:
		return nil, errdef.New(errdef.ErrState, "the sandbox is frozen; thaw it first")
	}
	c := &running{runner: r}
	spec := p.spec
	if r.Tree != nil {
		if c.leaf, err = r.Tree.NewLeaf(p.bounds); err != nil {
			return nil, err
		}
		spec.CgroupFD = c.leaf.FD()
		defer func() {
			if err != nil {
				c.leaf.Release()
			}
		}()
	}
	if c.io, err = r.connect(p, stdio); err != nil {
		return nil, err
	}
	spec.Files = c.io.child
	c.child, err = r.Table.Start(spec)
	c.io.started()
	if err != nil {
		c.io.abandon()
		return nil, p.explain(err)
	}
	return c, nil
}

// attend waits for the end of the command and passes on what arrives for it meanwhile. It says whether the time limit ended
// the command; the error is that of ctx when that did.
func (c *running) attend(ctx context.Context, timeout time.Duration, control <-chan sandbox.Control) (timedOut bool, err error) {
	var limit <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		limit = timer.C
	}
	cancelled := ctx.Done()
	for {
		select {
		case <-c.child.Done():
			return timedOut, err
		case <-cancelled:
			cancelled, err = nil, ctx.Err()
			c.kill()
		case <-limit:
			limit, timedOut = nil, true
			c.kill()
		case message, open := <-control:
			if !open {
				control = nil
				continue
			}
			c.control(message)
		}
	}
}

func (c *running) control(message sandbox.Control) {
	if message.Resize != nil && c.io.terminal != nil {
		_ = c.io.terminal.Resize(message.Resize.Rows, message.Resize.Cols)
	}
	if number, known := sandbox.SignalNumber(message.Signal); known {
		_ = c.runner.Table.Signal(c.child, syscall.Signal(number))
	}
}

// kill ends the command with all that it started.
func (c *running) kill() {
	if c.leaf != nil && c.leaf.Kill() == nil {
		return
	}
	_ = c.runner.Table.Signal(c.child, syscall.SIGKILL)
}

// exit says how the command ended. The kernel counts what a child holds before its exec, which is the agent's own memory, so
// MaxRSSBytes is never below that.
func (c *running) exit() sandbox.Exit {
	status, usage := c.child.Status()
	exit := sandbox.Exit{
		Code:        status.ExitStatus(),
		UserTime:    time.Duration(usage.Utime.Nano()),
		SystemTime:  time.Duration(usage.Stime.Nano()),
		MaxRSSBytes: uint64(usage.Maxrss) << 10,
	}
	if status.Signaled() {
		exit.Code = 128 + int(status.Signal())
		exit.Signal = sandbox.SignalName(int(status.Signal()))
	}
	const killed = 128 + int(syscall.SIGKILL) // by a signal, or by what a shell made of it
	exit.OOMKilled = exit.Code == killed && c.leaf != nil && c.leaf.OOMKills() > 0
	return exit
}
