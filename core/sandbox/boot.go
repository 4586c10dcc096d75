package sandbox

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// signal is something that happened while a VM boots; one field is set.
type signal struct {
	announced *boot.Announcement
	event     *vmm.Event
	output    bool  // on the console
	lost      error // the monitor is gone
}

// boot starts the VM and returns nil when the agent has answered.
func (g *guest) boot(ctx context.Context) *BootError {
	defer close(g.booted)
	g.follow()
	b := &booting{guest: g, stage: StageKernel}
	g.cfg.Progress(StageKernel)
	if err := g.cfg.VMM.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return &BootError{Reason: ReasonCanceled, Stage: StageCreate, Err: context.Cause(ctx)}
		}
		return &BootError{Reason: ReasonMonitor, Stage: StageCreate, Err: err}
	}
	return b.run(ctx)
}

// booting is the state of a boot.
type booting struct {
	guest *guest
	stage Stage
	heard bool // the agent has announced itself
}

func (b *booting) run(ctx context.Context) *BootError {
	spec := b.guest.cfg.Spec
	calling, hangUp := context.WithCancel(ctx)
	answered := make(chan error, 1)
	called := false
	defer func() {
		hangUp()
		if called {
			<-answered
		}
	}()
	silence := time.NewTimer(spec.ReadyTimeout)
	defer silence.Stop()
	limit := time.NewTimer(spec.BootLimit)
	defer limit.Stop()
	for {
		select {
		case s := <-b.guest.signals:
			silence.Reset(spec.ReadyTimeout)
			failed := b.take(s)
			if failed != nil {
				return failed
			}
			// The agent has bound its port before it speaks, so the call can wait there while it goes on: what setting up
			// the connection takes is not added to what the boot takes.
			if b.heard && !called {
				called = true
				go func() { answered <- b.call(calling) }()
			}
		case err := <-answered:
			called = false
			return b.verdict(err)
		case <-silence.C:
			return failure(ReasonSilent, b.stage, "no sign of progress for %v", spec.ReadyTimeout)
		case <-limit.C:
			return failure(ReasonTooSlow, b.stage, "it made progress, but not enough in %v", spec.BootLimit)
		case <-ctx.Done():
			return &BootError{Reason: ReasonCanceled, Stage: b.stage, Err: context.Cause(ctx)}
		}
	}
}

// take notes a signal, and returns the failure that it may be.
func (b *booting) take(s signal) *BootError {
	switch {
	case s.announced != nil:
		return b.announced(*s.announced)
	case s.event != nil:
		return b.event(*s.event)
	case s.lost != nil:
		return &BootError{Reason: ReasonMonitor, Stage: b.stage, Err: s.lost}
	}
	return nil
}

func (b *booting) announced(a boot.Announcement) *BootError {
	b.heard = true
	switch a.Stage {
	case boot.StageFailed:
		return agentFailure(a)
	case boot.StageReady:
		b.reach(StageAnswer)
	default:
		b.reach(agentStage(a.Stage))
	}
	return nil
}

func (b *booting) reach(stage Stage) {
	if b.stage != stage {
		b.stage = stage
		b.guest.cfg.Progress(stage)
	}
}

func agentFailure(a boot.Announcement) *BootError {
	return failure(ReasonAgent, agentStage(a.At), "the guest agent failed: %s", a.Error)
}

func (b *booting) event(e vmm.Event) *BootError {
	switch e.Kind {
	case vmm.Panic:
		return b.panicked(e)
	case vmm.Reset:
		return failure(ReasonReset, b.stage, "%s", describe(e))
	case vmm.PowerOff:
		return failure(ReasonPowerOff, b.stage, "%s", describe(e))
	case vmm.Failed, vmm.Stopped:
		return failure(ReasonMonitor, b.stage, "%s", describe(e))
	}
	return nil
}

// What a Linux kernel says when it panics for want of an init: init/main.c, init/do_mounts.c.
var noInit = []string{"No working init found", "Unable to mount root fs", "Requested init"}

func (b *booting) panicked(e vmm.Event) *BootError {
	reason := ReasonPanic
	for _, words := range noInit {
		if strings.Contains(e.Detail, words) {
			reason = ReasonNoInit
		}
	}
	return failure(reason, b.stage, "%s", describe(e))
}

// call asks the agent for something that needs the token, until it answers or ctx ends.
func (b *booting) call(ctx context.Context) error {
	for {
		_, err := b.guest.agent.Info(ctx)
		if !errors.Is(err, errdef.ErrUnavailable) {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (b *booting) verdict(err error) *BootError {
	if err == nil || errors.Is(err, errdef.ErrUnauthenticated) {
		b.reach(StageAnswer)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errdef.ErrUnauthenticated):
		return failure(ReasonSecret, b.stage, "the guest agent has another secret: %w", err)
	}
	return &BootError{Reason: ReasonAgent, Stage: b.stage, Err: err}
}

// fail ends a VM that did not get ready, and completes the error with what can be known only afterwards.
func (g *guest) fail(e *BootError) error {
	if err := g.tearDown(); err != nil {
		g.cfg.Logger.Warn("clean up after a failed boot", "error", err)
	}
	// The agent knows better than the hypervisor, but its word may come later than its death.
	if a := g.announced.failure(); a != nil && e.Reason != ReasonAgent {
		e = agentFailure(*a)
	}
	if e.Stage == StageKernel {
		e.Stage = g.tail.stage()
	}
	e.Console = g.tail.lines(ConsoleLines)
	return e
}
