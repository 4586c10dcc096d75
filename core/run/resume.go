package run

import (
	"context"
	"fmt"
	"strings"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// former is a run that another goes on with. What its stages made is used again where nothing of what they were made from has changed,
// and all that they need is used again too: what a model says to the same prompt a second time is not the same.
type former struct {
	run     string
	dir     string
	records map[string]observe.StageRecord
}

// openFormer reads the run that cfg.Resume names, and refuses one that is not this target's, or not over.
func openFormer(path string, t target) (*former, error) {
	if t.sandbox != nil {
		return nil, errdef.New(errdef.ErrInvalid, "%s has no stages that could be resumed", t.name).WithRemedy("run it anew")
	}
	past, err := observe.OpenPast(path)
	if err != nil {
		return nil, err
	}
	switch {
	case past.Alive:
		return nil, errdef.New(errdef.ErrState, "the run %s lives", past.Run).WithRemedy("wait for its end, or end it: voidbox cancel %s", past.Run)
	case past.Target != t.name:
		return nil, errdef.New(errdef.ErrInvalid, "the run %s was one of %s, and this is %s", past.Run, past.Target, t.name).
			WithRemedy("choose with --target %s, or run this one anew", past.Target)
	}
	records, err := past.Records()
	return &former{run: past.Run, dir: path, records: records}, err
}

// reusable looks whether a stage's former result can stand for another run of it. If there was one, and it cannot, again says why.
func (r *Run) reusable(s *plan.Stage, made map[string]string) (rec observe.StageRecord, ok bool, again string) {
	if r.former == nil {
		return rec, false, ""
	}
	rec, ok = r.former.records[s.ID()]
	if !ok {
		return rec, false, ""
	}
	for _, need := range s.Needs {
		if r.stages[need].reused == nil {
			return rec, false, "stage " + need + " ran again"
		}
	}
	if rec.Withheld {
		return rec, false, "its result held a secret, which is kept nowhere"
	}
	var changed []string
	for _, aspect := range aspects {
		if rec.Made[aspect] != made[aspect] {
			changed = append(changed, aspect)
		}
	}
	if len(changed) > 0 {
		return rec, false, "its " + strings.Join(changed, ", ") + " changed"
	}
	if rec.Artefacts != "" {
		if digest, err := observe.Digest(observe.ArtefactsDir(r.former.dir, s.ID())); err != nil || digest != rec.Artefacts {
			return rec, false, "its artefacts are not what they were"
		}
	}
	return rec, true, ""
}

// reuse lets a former result stand for a stage, and keeps its record, so that this run can be resumed in its turn.
func (r *Run) reuse(ctx context.Context, s *plan.Stage, rec observe.StageRecord) (result plan.Result, err error) {
	state := r.stages[s.ID()]
	state.reused = &rec
	if rec.Artefacts != "" {
		if rec.Result.Artefacts, err = r.takeFormer(ctx, s); err != nil {
			return rec.Result, fmt.Errorf("take over the artefacts of run %s: %w", r.former.run, err)
		}
	}
	if r.dir != nil {
		if err := r.dir.WriteStage(rec); err != nil {
			return rec.Result, err
		}
		if err := r.dir.WriteArtefact(s.ID(), "output.txt", []byte(rec.Result.Output)); err != nil {
			state.events.Emit(event.Warning{Message: event.Clean(err.Error())})
		}
	}
	return rec.Result, nil
}

// record writes down what a stage made, before anybody is told that it is finished. Without a record the run goes on: it only cannot be
// resumed from there.
func (r *Run) record(s *plan.Stage, made map[string]string, result plan.Result) {
	if r.dir == nil {
		return
	}
	state := r.stages[s.ID()]
	rec := observe.StageRecord{Stage: s.ID(), Run: r.id, Made: made, Result: result, Totals: state.totals}
	if clean, err := observe.RedactValue(r.redact, result); err != nil || clean.Output != result.Output {
		rec.Result, rec.Withheld = plan.Result{}, true
	}
	var err error
	if result.Artefacts != "" {
		rec.Artefacts, err = observe.Digest(result.Artefacts)
	}
	if err == nil {
		err = r.dir.WriteStage(rec)
	}
	if err != nil {
		state.events.Emit(event.Warning{Message: "the run cannot be resumed behind this stage: " + event.Clean(err.Error())})
	}
}

// writeManifest says what the run was started with.
func (r *Run) writeManifest(result Result) error {
	if r.dir == nil {
		return nil
	}
	m := observe.Manifest{Run: r.id, Plan: result.Plan, Target: result.Target, Started: result.Started, Source: r.cfg.Source}
	for _, s := range r.target.stages {
		m.Stages = append(m.Stages, s.ID())
	}
	if r.former != nil {
		m.Resumes = r.former.run
	}
	return r.dir.WriteManifest(m)
}
