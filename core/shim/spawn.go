package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Command is the hidden command of voidbox that is a shim.
const Command = "shim"

// Descriptors that a shim inherits, beside its request on standard input and its log on the other two.
const (
	lockFD   = 3
	reportFD = 4
)

// Request is what a shim is told when it starts. It may hold secrets, and travels through a pipe only.
type Request struct {
	Name    string        `json:"name"`
	Dir     string        `json:"dir"`
	Fresh   bool          `json:"fresh"` // the sandbox was just made: a start that fails leaves nothing of it
	Sandbox *plan.Sandbox `json:"sandbox"`
	Secrets []plan.Secret `json:"secrets,omitempty"` // to keep out of all that the shim says
	// File is the configuration whose requirements and lock file bind the plugins; empty means none.
	File    string `json:"file,omitempty"`
	Verbose bool   `json:"verbose,omitempty"`
}

// Launch is what a claim is started with.
type Launch struct {
	Program string // path of the voidbox binary; empty means the running one
	Sandbox *plan.Sandbox
	Secrets []plan.Secret
	File    string
	Verbose bool
	Sink    event.Sink // told of progress
}

// Start starts the shim of a claimed sandbox and returns once it serves; the claim is released in any case. The end of ctx ends the
// start in order, that of hard at once. When this process dies, the shim goes on.
func (c *Claim) Start(ctx, hard context.Context, l Launch) error {
	defer c.Release()
	if err := c.start(ctx, hard, l); err != nil {
		return fmt.Errorf("sandbox %s: %w", c.Name, err)
	}
	return nil
}

func (c *Claim) start(ctx, hard context.Context, l Launch) error {
	shim, report, err := c.spawn(l)
	if err != nil {
		if c.fresh {
			err = errors.Join(err, discard(c.dir))
		}
		return err
	}
	defer report.Close()
	// The shim has no terminal, and hears nothing of Ctrl-C by itself.
	stopTerm := context.AfterFunc(ctx, func() { _ = shim.Process.Signal(syscall.SIGTERM) })
	defer stopTerm()
	stopKill := context.AfterFunc(hard, func() { _ = shim.Process.Kill() })
	defer stopKill()
	err = listen(report, c.Name, l.Sink)
	if err == nil {
		go shim.Wait() // it lives on; only a caller that lives on, too, has a zombie to fear
		return nil
	}
	waitErr := shim.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errdef.New(errdef.ErrUnavailable, "the process that holds it died (%v); it said: %s", waitErr, c.lastWords())
	}
	if hard.Err() != nil && c.fresh {
		err = errors.Join(err, c.sweep())
	}
	return err
}

// sweep removes what a shim that was killed could not.
func (c *Claim) sweep() error {
	if i, err := readInstance(c.dir); err == nil {
		removeRuntimeDir(i.RuntimeDir)
	}
	if _, err := os.Stat(c.dir); err != nil {
		return nil
	}
	return discard(c.dir)
}

// spawn starts the process. Its lock is the claim's.
func (c *Claim) spawn(l Launch) (*exec.Cmd, *os.File, error) {
	request, err := json.Marshal(Request{
		Name: c.Name, Dir: c.dir, Fresh: c.fresh, Sandbox: l.Sandbox, Secrets: l.Secrets, File: l.File, Verbose: l.Verbose,
	})
	if err != nil {
		return nil, nil, err
	}
	program := l.Program
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, nil, err
		}
	}
	if err := writeDocument(c.dir, instanceFile, Instance{Version: Version, State: Starting, PID: os.Getpid()}); err != nil {
		return nil, nil, err
	}
	log, err := os.OpenFile(filepath.Join(c.dir, logFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	report, theirs, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(program, Command)
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(request)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{c.lock, theirs} // lockFD, reportFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		report.Close()
		return nil, nil, fmt.Errorf("start the process that holds it: %w", err)
	}
	return cmd, report, nil
}

// maxLastWords is how much of a log an error shows, in bytes.
const maxLastWords = 2 << 10

// lastWords is the end of the shim's log.
func (c *Claim) lastWords() string {
	data, err := os.ReadFile(filepath.Join(c.dir, logFile))
	text := strings.TrimSpace(strings.ToValidUTF8(string(data[max(0, len(data)-maxLastWords):]), "?"))
	if err != nil || text == "" {
		return "nothing"
	}
	return text
}

// Receive reads a shim's request and takes over what it inherits.
func Receive(stdin io.Reader) (*Shim, error) {
	for _, fd := range []int{lockFD, reportFD} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, errdef.New(errdef.ErrInvalid, "%s is what voidbox starts by itself", Command).
				WithRemedy("make a sandbox with: voidbox sandbox create NAME")
		}
	}
	s := &Shim{lock: os.NewFile(lockFD, lockFile), report: &reporter{pipe: os.NewFile(reportFD, "report")}}
	if err := json.NewDecoder(stdin).Decode(&s.Request); err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "read the request: %w", err)
	}
	return s, nil
}
