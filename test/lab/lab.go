package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/tsc"
	"github.com/voidbox-run/voidbox/test/lab/internal/wire"
)

// Lab is a machine that has booted and waits for commands, one at a time. It must be closed.
type Lab struct {
	machine *machine
	silence time.Duration
	stop    func() bool // ends the watch over Boot's context
	unlock  func()
	host    *wire.Writer
	hello   wire.Hello
	turn    sync.Mutex // one command or file at a time
}

// Boot starts a lab and returns when it can run commands. The end of ctx kills it, then and later.
func Boot(ctx context.Context, cfg Config) (*Lab, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	clock := tsc.Start()
	qemu, err := findQEMU()
	if err != nil {
		return nil, err
	}
	cache, err := image.OpenCache("")
	if err != nil {
		return nil, err
	}
	ctx = image.WithProgress(ctx, cfg.Log)
	kernel, err := findKernel(ctx, cache, cfg.Kernel)
	if err != nil {
		return nil, err
	}
	initrd, err := writeRoot(ctx, cfg, cache, kernel)
	if err != nil {
		return nil, err
	}
	defer initrd.Close()
	unlock, err := takeSlot(ctx, cache.Dir(), cfg.Log)
	if err != nil {
		return nil, err
	}
	m, err := startMachine(qemu, arguments(cfg, kernel, clock.KHz()), initrd, cfg.Console)
	if err != nil {
		unlock()
		return nil, err
	}
	l := &Lab{machine: m, silence: cfg.Silence, unlock: unlock, host: wire.NewWriter(m.control)}
	l.stop = context.AfterFunc(ctx, m.kill)
	if err := l.awaitReady(ctx); err != nil {
		l.Close()
		return nil, fmt.Errorf("boot the lab with kernel %s: %w", kernel.Release, err)
	}
	return l, nil
}

// MissingError says that a program is not installed, and how to get it.
type MissingError struct {
	Program, Package string
	Err              error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is missing (%v); install it with: sudo apt-get install %s", e.Program, e.Err, e.Package)
}

func (e *MissingError) Unwrap() error { return e.Err }

func findQEMU() (string, error) {
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return "", &MissingError{"qemu-system-x86_64", "qemu-system-x86", err}
	}
	return path, nil
}

func (l *Lab) awaitReady(ctx context.Context) error {
	for {
		kind, body, err := l.read(ctx)
		if err != nil {
			return err
		}
		if kind == wire.Ready {
			return json.Unmarshal(body, &l.hello)
		}
	}
}

// Kernel returns the release of the lab's kernel.
func (l *Lab) Kernel() string { return l.hello.Kernel }

// Uptime returns how long the kernel had run when the lab was ready.
func (l *Lab) Uptime() time.Duration { return time.Duration(l.hello.Uptime * float64(time.Second)) }

// Console returns the end of what the lab's kernel has said.
func (l *Lab) Console() string { return l.machine.said.String() }

// Close ends the lab: it has a second thought for nothing, for all that was to be kept has been fetched or synced.
func (l *Lab) Close() {
	l.stop()
	l.machine.kill()
	l.machine.closeSockets()
	l.unlock()
}

// read returns the guest's next frame. A lab that has died, or given no sign of life for too long, is an error that says so.
func (l *Lab) read(ctx context.Context) (wire.Kind, []byte, error) {
	kind, body, err := wire.Read(patient{l.machine, l.silence})
	switch {
	case err == nil:
		return kind, body, nil
	case ctx.Err() != nil:
		l.machine.kill()
		return 0, nil, context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.machine.interrupt(nmiPatience)
		return 0, nil, &HangError{Silence: l.silence, Console: l.Console()}
	}
	l.machine.kill()
	return 0, nil, &CrashError{Err: l.machine.err, QEMU: l.machine.complaints.String(), Console: l.Console()}
}

// nmiPatience is how long a stuck kernel has to say where it is stuck.
const nmiPatience = 10 * time.Second

// patient reads PID 1's port until both it and the console have been silent for too long.
type patient struct {
	m       *machine
	silence time.Duration
}

func (p patient) Read(b []byte) (int, error) {
	wait := p.silence
	for {
		if err := p.m.control.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return 0, err
		}
		n, err := p.m.control.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if wait = p.silence - p.m.quiet(); wait <= 0 {
			return 0, err
		}
	}
}

// HangError says that the lab gave no sign of life.
type HangError struct {
	Silence time.Duration
	Console string
}

func (e *HangError) Error() string {
	return fmt.Sprintf("the lab hangs: no sign of life for %v; its console:\n%s", e.Silence, orNothing(e.Console))
}

// CrashError says that the lab ended by itself: a kernel panic, or a QEMU that failed.
type CrashError struct {
	Err     error  // how QEMU ended, nil where it exited with 0
	QEMU    string // what QEMU complained about
	Console string
}

func (e *CrashError) Error() string {
	text := "the lab has ended by itself"
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	if e.QEMU != "" {
		text += "; QEMU says:\n" + e.QEMU
	}
	return text + "\nits console:\n" + orNothing(e.Console)
}

func (e *CrashError) Unwrap() error { return e.Err }

func orNothing(console string) string {
	if console == "" {
		return "(it said nothing)"
	}
	return console
}

// Fetch copies a file of the lab to w.
func (l *Lab) Fetch(ctx context.Context, path string, w io.Writer) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	defer context.AfterFunc(ctx, l.machine.kill)()
	if err := l.host.Write(wire.Fetch, []byte(path)); err != nil {
		return fmt.Errorf("fetch %s: %w", path, ctxErr(ctx, err))
	}
	for {
		kind, body, err := l.read(ctx)
		if err != nil {
			return fmt.Errorf("fetch %s: %w", path, err)
		}
		switch {
		case kind == wire.Chunk:
			_, err = w.Write(body)
		case kind == wire.Done && len(body) > 0:
			return fmt.Errorf("fetch from the lab: %s", body)
		case kind == wire.Done:
			return nil
		}
		if err != nil {
			return fmt.Errorf("fetch %s: %w", path, err)
		}
	}
}
