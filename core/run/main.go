package run

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// runMain runs a sandbox without an agent: its main process, whose output it streams.
func (r *Run) runMain(result *Result) error {
	spec := r.target.sandbox
	if err := r.checkSandbox(spec); err != nil {
		return err
	}
	events := r.root.Stage(spec.Name)
	start := time.Now()
	events.Emit(event.StageStarted{Sandbox: spec.Name, Attempt: 1})
	err := r.watchMain(events)
	if ended := r.ended(); ended != nil {
		err = ended
	}
	result.Traffic = r.networks.of(spec.Name)
	finished := event.StageFinished{Status: event.Succeeded, Traffic: result.Traffic, Took: time.Since(start)}
	if err != nil {
		finished.Status, finished.Error, finished.Remedy = event.Failed, event.Clean(err.Error()), event.Clean(errdef.Remedy(err))
		if errors.Is(err, context.Canceled) {
			finished.Status = event.Cancelled
		}
	}
	events.Emit(finished)
	result.Stages = map[string]StageResult{spec.Name: {
		Status: finished.Status, Error: finished.Error, Attempts: 1, Traffic: finished.Traffic, Image: r.rootOf(spec.Name), Duration: finished.Took,
	}}
	return err
}

func (r *Run) watchMain(events event.Scope) error {
	env, err := r.build(r.ctx, r.target.sandbox, events)
	if err != nil {
		return r.blame(err)
	}
	defer r.release(env, r.target.sandbox, events)
	stdout, stderr := &outputWriter{events: events, stream: "stdout"}, &outputWriter{events: events, stream: "stderr"}
	err = env.MainOutput(r.ctx, true, stdout, stderr)
	stdout.flush()
	stderr.flush()
	if err == nil || errors.Is(err, errdef.ErrNotFound) {
		exit, waitErr := env.WaitMain(r.ctx)
		switch {
		case errors.Is(waitErr, errdef.ErrNotFound):
			return errdef.New(errdef.ErrInvalid, "sandbox %s has no main process to run", r.target.sandbox.Name).
				WithRemedy("give it one, or declare an agent that works in it")
		case waitErr == nil && exit.Code != 0:
			return &MainError{Exit: exit}
		}
		err = waitErr
	}
	return r.blame(err)
}

// outputWriter turns what a process writes into events, never cutting a rune in two.
type outputWriter struct {
	events event.Scope
	stream string
	rest   []byte // beginning of a rune
}

func (w *outputWriter) Write(p []byte) (int, error) {
	text := append(w.rest, p...)
	whole := len(text)
	for i := 1; i <= utf8.UTFMax && i <= len(text); i++ {
		if last := text[len(text)-i:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				whole -= i
			}
			break
		}
	}
	if whole > 0 {
		w.events.Emit(event.Output{Stream: w.stream, Text: event.Clean(string(text[:whole]))})
	}
	w.rest = append([]byte(nil), text[whole:]...)
	return len(p), nil
}

func (w *outputWriter) flush() {
	if len(w.rest) > 0 {
		w.events.Emit(event.Output{Stream: w.stream, Text: event.Clean(string(w.rest))})
	}
	w.rest = nil
}
