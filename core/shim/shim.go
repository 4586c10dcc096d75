package shim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/overlay"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// closeTime bounds how long a sandbox may take to end in order.
const closeTime = 30 * time.Second

// Shim holds one sandbox. It is the whole of a process.
type Shim struct {
	Request
	lock   *os.File
	report *reporter

	mu       sync.Mutex // guards instance and its file
	instance Instance
	asked    atomic.Bool   // a client wants the sandbox to end
	stop     chan struct{} // closed when a client has shut it down
	stopOnce sync.Once
}

// Fail reports an error from before Run, and leaves nothing half-made.
func (s *Shim) Fail(err error) {
	defer s.report.close()
	s.failed(err)
}

// Run makes the sandbox and serves it until it ends, a client shuts it down, or ctx ends; the end of cfg.Hard cuts the clean-up
// short. Of cfg it takes what run.Open does, but Sinks and the secrets, which are the request's. When Run returns, nothing is left but the
// sandbox's directory.
func (s *Shim) Run(ctx context.Context, cfg run.Config) error {
	defer s.report.close()
	s.stop = make(chan struct{})
	cfg.Plan, cfg.Sinks = &plan.Plan{Secrets: s.Secrets}, []event.Sink{s.report}
	dir, err := newRuntimeDir()
	if err != nil {
		s.failed(err)
		return err
	}
	defer removeRuntimeDir(dir)
	token := make([]byte, sandbox.TokenSize)
	rand.Read(token) // never fails (crypto/rand)
	s.note(func(i *Instance) {
		*i = Instance{
			Version: Version, State: Starting, PID: os.Getpid(), RuntimeDir: dir, Token: token, Image: nameOfRoot(s.Sandbox), CPUs: s.Sandbox.CPUs,
			MemoryBytes: s.Sandbox.MemoryBytes, Started: time.Now().UTC(),
		}
	})
	cfg.Overlays = filepath.Join(s.Dir, overlay.DirName)
	box, err := run.Open(ctx, cfg, s.Sandbox)
	if err != nil {
		s.failed(err)
		return err
	}
	return s.hold(ctx, cfg.Hard, box)
}

// nameOfRoot is what the root file system is called by whoever wrote the sandbox down.
func nameOfRoot(s *plan.Sandbox) string {
	if len(s.Packages) > 0 {
		return "packages " + strings.Join(s.Packages, ",")
	}
	return s.Image
}

// failed writes down, and reports, that the sandbox did not start. One that was just made is forgotten.
func (s *Shim) failed(err error) {
	if s.Fresh {
		err = errors.Join(err, discard(s.Dir))
	} else {
		s.end(Dead, err)
	}
	s.report.fail(err)
}

// hold serves a sandbox to its end.
func (s *Shim) hold(ctx, hard context.Context, box *run.Box) error {
	server, err := s.serve(box)
	if err != nil {
		s.close(hard, box)
		s.failed(err)
		return err
	}
	s.note(func(i *Instance) {
		i.State, i.Backend, i.Accelerator = Running, box.Backend(), box.Accelerator()
		i.ImageID = box.ImageID()
		i.AgentSocket, i.AgentToken = box.SocketPath(), box.Token()
	})
	s.report.say(report{Serving: true})
	s.report.close()

	watch, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() {
		s.record(watch, outputFile, func(ctx context.Context, stdout, stderr io.Writer) error {
			return box.MainOutput(ctx, true, stdout, stderr)
		})
	})
	watching.Go(func() {
		s.record(watch, consoleFile, func(ctx context.Context, stdout, _ io.Writer) error { return box.Console(ctx, stdout) })
	})
	watching.Go(func() { s.watchMain(watch, box) })
	died := s.wait(ctx, box)
	s.note(func(i *Instance) { i.State = Stopping })
	closeErr := s.close(hard, box)
	server.stop()
	unwatch()
	watching.Wait()
	if died != nil {
		s.end(Dead, died)
	} else {
		s.end(Stopped, nil)
	}
	return errors.Join(died, closeErr)
}

// wait returns when the sandbox is to end, with the reason if it ended by itself.
func (s *Shim) wait(ctx context.Context, box *run.Box) error {
	select {
	case <-s.stop:
		return nil
	case <-ctx.Done():
		return nil
	case <-box.Stopped():
	case <-box.Died():
	}
	if s.asked.Load() {
		return nil
	}
	if err := box.Cause(); err != nil {
		return err
	}
	return fmt.Errorf("it stopped by itself: %w", box.Err())
}

func (s *Shim) close(hard context.Context, box *run.Box) error {
	ctx, cancel := context.WithTimeout(hard, closeTime)
	defer cancel()
	return box.Close(ctx)
}

// watchMain notes how the main process ended.
func (s *Shim) watchMain(ctx context.Context, box sandbox.Sandbox) {
	if exit, err := box.WaitMain(ctx); err == nil {
		s.note(func(i *Instance) { i.Main = &exit })
	}
}

// end notes that the sandbox is no more.
func (s *Shim) end(state State, why error) {
	s.note(func(i *Instance) {
		i.State, i.Ended = state, time.Now().UTC()
		i.PID, i.RuntimeDir, i.Token, i.AgentSocket, i.AgentToken = 0, "", nil, "", nil
		if why != nil {
			i.Error = event.Clean(plan.NewRedactor(s.Secrets).String(why.Error()))
		}
	})
}

// note changes what is written down about the sandbox. A disk that is full must not end it.
func (s *Shim) note(change func(*Instance)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.instance)
	s.instance.Version = Version
	if err := writeDocument(s.Dir, instanceFile, s.instance); err != nil {
		slog.Error("note the state of the sandbox", "error", err)
	}
}

// shutDown is called by clients: it ends the sandbox in order, then the shim.
func (s *Shim) shutDown(ctx context.Context, box sandbox.Sandbox, grace time.Duration) (*sandbox.Exit, error) {
	s.asked.Store(true)
	exit, err := box.Shutdown(ctx, grace)
	s.stopOnce.Do(func() { close(s.stop) })
	return exit, err
}
