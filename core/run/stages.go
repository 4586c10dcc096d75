package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/core/pipeline"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/price"
	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// stageState is what a run remembers of a stage over its attempts. Attempts follow each other, so that it needs no lock; the
// scheduler of the pipeline orders their accesses.
type stageState struct {
	events   event.Scope
	totals   event.Totals
	started  time.Time
	duration time.Duration
	reused   *observe.StageRecord // of a former run, that stands for this one
}

// runStages executes a pipeline, or a single agent as a pipeline of one stage.
func (r *Run) runStages(result *Result) error {
	if err := r.preflight(); err != nil {
		return err
	}
	r.stages = map[string]*stageState{}
	for _, s := range r.target.stages {
		r.stages[s.ID()] = &stageState{events: r.root.Stage(s.ID())}
	}
	parallel := 0
	if r.target.pipeline != nil {
		parallel = r.target.pipeline.MaxParallel
	}
	outcomes, err := pipeline.Run(r.ctx, r.target.stages, r.stage, pipeline.Options{
		MaxParallel: parallel,
		Clock:       r.cfg.Clock,
		Retryable:   func(err error) bool { return !final(err) },
		Retrying: func(s *plan.Stage, attempt int, delay time.Duration, err error) {
			r.stages[s.ID()].events.Emit(event.Retry{Attempt: attempt, Reason: event.Clean(err.Error()), Delay: delay})
		},
		Skipped: func(s *plan.Stage, because string) {
			r.stages[s.ID()].events.Emit(event.StageFinished{Status: event.Skipped, Error: because + " did not succeed"})
		},
		Finished: r.stageFinished,
	})
	if err != nil {
		return &ConfigError{Err: err}
	}
	return r.summarise(result, outcomes)
}

// preflight finds what would fail later: skills that cannot be read, backends and networks that are not there. Then it starts
// the providers, so that they come up while the first sandboxes do.
func (r *Run) preflight() (err error) {
	if r.prices, err = price.Load(); err != nil {
		return &ConfigError{Err: err}
	}
	checked := map[*plan.Sandbox]bool{}
	for _, s := range r.target.stages {
		if s.Agent == nil {
			continue
		}
		all, err := team(s.Agent, 0)
		if err != nil {
			return &ConfigError{Err: err}
		}
		for _, a := range all {
			if err := r.checkAgent(a, checked); err != nil {
				return err
			}
		}
	}
	for _, s := range r.target.stages {
		if s.Agent != nil && s.Agent.LLM != nil {
			r.crew.begin(r.ctx, s.Agent.LLM, llmRequest(s.Agent.LLM))
		}
	}
	return nil
}

// checkAgent finds what an agent lacks. Sandboxes that were checked are not checked again.
func (r *Run) checkAgent(a *plan.Agent, checked map[*plan.Sandbox]bool) error {
	if _, err := skill.Load(r.ctx, a.Skills, r.sources()); err != nil {
		var plugin *PluginError
		if errors.As(err, &plugin) {
			return err
		}
		return &ConfigError{Err: fmt.Errorf("agent %s: %w", a.Name, err)}
	}
	if a.Sandbox == nil || checked[a.Sandbox] {
		return nil
	}
	checked[a.Sandbox] = true
	return r.checkSandbox(a.Sandbox)
}

// stage carries out one attempt of a stage.
func (r *Run) stage(ctx context.Context, s *plan.Stage, attempt int, results plan.Results) (plan.Result, error) {
	state := r.stages[s.ID()]
	if attempt == 1 {
		state.started = time.Now()
	}
	defer func() { state.duration = time.Since(state.started) }()
	bound, err := s.Bind(results)
	if err != nil {
		return plan.Result{}, &ConfigError{Err: err}
	}
	bound.Interactive = bound.Interactive || r.cfg.Interactive
	if bound.Interactive && r.cfg.Terminal == nil {
		return plan.Result{}, &ConfigError{Err: errdef.New(errdef.ErrInvalid, "agent %s is interactive, and there is no terminal", bound.Agent).
			WithRemedy("run it where standard input and output are a terminal, without --json")}
	}
	if bound.Interactive {
		bound.Mode = agent.ModeCLI
	}
	skills, err := skill.Load(ctx, bound.Skills, r.sources())
	if err != nil {
		return plan.Result{}, &ConfigError{Err: err}
	}
	made, err := r.madeFrom(ctx, bound, skills)
	if err != nil {
		return plan.Result{}, err
	}
	again := ""
	if attempt == 1 {
		var rec observe.StageRecord
		var ok bool
		if rec, ok, again = r.reusable(s, made); ok {
			return r.reuse(ctx, s, rec)
		}
	}
	state.events.Emit(event.StageStarted{
		Agent: bound.Agent, Sandbox: bound.Sandbox.Name, LLM: bound.LLM.Plugin + "." + bound.LLM.Label, Attempt: attempt, Needs: s.Needs, Again: again,
	})
	files := ""
	report, err := r.work(ctx, job{
		conversation: fmt.Sprintf("%s/%s/%d", r.id, s.ID(), attempt), bound: bound, skills: skills, terminal: r.terminal(),
		take: func(ctx context.Context, env *environment) (err error) {
			files, err = r.take(ctx, env, s, bound)
			return err
		},
	}, state.events)
	state.totals = state.totals.Add(report.Totals)
	result := report.Result()
	if err != nil {
		return result, r.blame(err)
	}
	result.Artefacts = files
	if err := r.saveOutput(s, bound, report.Output); err != nil {
		state.events.Emit(event.Warning{Message: event.Clean(err.Error())})
	}
	r.record(s, made, result)
	return result, nil
}

// A job is what an agent is to do: for a stage, or for another agent.
type job struct {
	conversation string
	bound        *plan.AgentRun
	skills       []skill.Skill
	depth        int                                               // agents above this one
	terminal     agent.Terminal                                    // of whom the agent talks to; may be nil
	take         func(ctx context.Context, env *environment) error // keeps what the agent leaves; may be nil
}

// work lets an agent work in a sandbox of its own.
func (r *Run) work(ctx context.Context, j job, events event.Scope) (report agent.Report, err error) {
	// The provider comes up while the sandbox does.
	r.crew.begin(r.ctx, j.bound.LLM, llmRequest(j.bound.LLM))
	loan, err := r.lendTo(ctx, j.bound, events)
	if err != nil {
		return report, err
	}
	defer loan.end()
	env, err := r.build(ctx, loan.sandboxOf(j.bound), events)
	if err != nil {
		return report, err
	}
	defer r.release(env, j.bound.Sandbox, events)
	ctx, unwatch := env.watch(ctx)
	defer unwatch()
	ctx, release := loan.watch(ctx)
	defer release()
	report, err = r.drive(ctx, env, j, loan.lender(), events)
	if err == nil && j.take != nil {
		err = j.take(ctx, env)
	}
	report.Totals = loan.settle(report.Totals)
	return report, err
}

// drive lets an agent work in a sandbox that is there.
func (r *Run) drive(ctx context.Context, env *environment, j job, lend func(context.Context, []llm.Credential) (agent.Loan, error), events event.Scope) (agent.Report, error) {
	provider, err := r.crew.shared(r.ctx, ctx, j.bound.LLM, llmRequest(j.bound.LLM))
	if err != nil {
		return agent.Report{}, err
	}
	if err := give(ctx, env, j.bound); err != nil {
		return agent.Report{}, err
	}
	scope := events.Child()
	return agent.Run(ctx, agent.Config{
		Agent: j.bound, LLM: r.priced(provider.LLM(), j.bound), Sandbox: env, Skills: j.skills, Events: scope, Conversation: j.conversation,
		Reach: r.reach(j.bound, events), Lend: lend, Terminal: j.terminal, Delegate: r.delegates(env, j, scope),
	})
}

// priced adds to a provider what its models cost.
func (r *Run) priced(m llm.LLM, a *plan.AgentRun) llm.LLM {
	var own *price.Price
	if p := a.LLM.Price; p != nil {
		own = &price.Price{Rates: price.Rates(*p)}
	}
	m = price.Provider(m, modelOf(a), own, r.prices)
	if r.tape != nil {
		m = r.tape.Provider(m)
	}
	return m
}

func modelOf(a *plan.AgentRun) string { return cmp.Or(a.Model, a.LLM.Model) }

// release ends a sandbox, or keeps it when that is asked for.
func (r *Run) release(env *environment, spec *plan.Sandbox, events event.Scope) {
	end := func(ctx context.Context) error {
		err := env.close(ctx)
		events.Emit(event.SandboxStopped{Sandbox: spec.Name})
		return err
	}
	if r.cfg.Keep && r.ctx.Err() == nil {
		r.keptMu.Lock()
		defer r.keptMu.Unlock()
		r.kept = append(r.kept, end)
		return
	}
	r.cleanUp(end)
}

// blame finds out what an error comes from: when a plugin died, whatever else went wrong is its consequence.
func (r *Run) blame(err error) error {
	if r.ctx.Err() == nil {
		if dead := r.crew.dead(); dead != nil && !errors.Is(err, dead) {
			return dead
		}
		return err
	}
	var plugin *PluginError
	if cause := context.Cause(r.ctx); errors.As(cause, &plugin) {
		return plugin
	}
	return err
}

// saveOutput writes the output of a stage as an artefact.
func (r *Run) saveOutput(s *plan.Stage, bound *plan.AgentRun, output string) error {
	if r.dir == nil {
		return nil
	}
	name := "output.txt"
	if bound.OutputFile != "" {
		name = bound.OutputFile
	}
	return r.dir.WriteArtefact(s.ID(), name, []byte(r.redact.String(output)))
}

// stageFinished announces the end of a stage that was started.
func (r *Run) stageFinished(s *plan.Stage, o pipeline.Outcome) {
	o.Err = advised(o.Err)
	state := r.stages[s.ID()]
	finished := event.StageFinished{
		Status: statusOf(o), Output: o.Result.Output, Turns: o.Result.Turns, Tools: o.Result.Tools, Totals: state.totals,
		Traffic: r.networks.of(s.ID()), Took: state.duration,
	}
	if rec := state.reused; rec != nil {
		finished.ReusedFrom, finished.Reused = rec.Run, rec.Totals
	}
	if o.Err != nil {
		finished.Error, finished.Remedy = event.Clean(o.Err.Error()), event.Clean(errdef.Remedy(o.Err))
	}
	state.events.Emit(finished)
}

// statusOf corrects the pipeline, which sees only that the run ended: a plugin's death is a failure, not a cancellation.
func statusOf(o pipeline.Outcome) event.Status {
	var plugin *PluginError
	if o.Status == event.Cancelled && o.Attempts > 0 && errors.As(o.Err, &plugin) {
		return event.Failed
	}
	return o.Status
}

// summarise fills in the result and finds the error of the run.
func (r *Run) summarise(result *Result, outcomes pipeline.Outcomes) error {
	result.Stages = map[string]StageResult{}
	results := plan.Results{}
	var failed error
	for _, s := range r.target.stages {
		o, state := outcomes[s.ID()], r.stages[s.ID()]
		o.Err = advised(o.Err)
		sr := StageResult{
			Status: statusOf(o), Output: o.Result.Output, Because: o.Because, Attempts: o.Attempts, Model: o.Result.Model,
			Turns: o.Result.Turns, Tools: o.Result.Tools, Totals: state.totals, Traffic: r.networks.of(s.ID()), Duration: state.duration,
			Artefacts: o.Result.Artefacts, Image: r.rootOf(s.ID()),
		}
		if o.Err != nil {
			sr.Error = event.Clean(o.Err.Error())
		}
		if rec := state.reused; rec != nil {
			sr.Attempts, sr.ReusedFrom, sr.Reused = 0, rec.Run, rec.Totals
			result.Reused = result.Reused.Add(rec.Totals)
		}
		result.Stages[s.ID()] = sr
		result.Totals = result.Totals.Add(state.totals)
		result.Traffic = result.Traffic.Add(sr.Traffic)
		if sr.Status == event.Succeeded {
			results[s.ID()] = o.Result
		}
		if sr.Status == event.Failed && failed == nil {
			failed = o.Err
			if r.target.pipeline != nil {
				failed = &StageError{Stage: s.ID(), Err: o.Err}
			}
		}
	}
	if err := r.ended(); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	if last := lastStages(r.target.stages); len(last) == 1 {
		result.Output = results[last[0]].Output
	}
	return r.outputs(result, results)
}

// ended says why the run as a whole was ended before its time, if it was.
func (r *Run) ended() error {
	var plugin *PluginError
	switch cause := context.Cause(r.ctx); {
	case cause == nil:
		return nil
	case errors.As(cause, &plugin):
		return plugin
	case errors.Is(cause, context.Canceled):
		return fmt.Errorf("the run was cancelled: %w", context.Canceled)
	default:
		return fmt.Errorf("the run was cancelled: %w: %w", cause, context.Canceled)
	}
}

// outputs evaluates the outputs of the pipeline.
func (r *Run) outputs(result *Result, results plan.Results) error {
	if r.target.pipeline == nil || len(r.target.pipeline.Outputs) == 0 {
		return nil
	}
	result.Outputs = map[string]any{}
	for _, out := range r.target.pipeline.Outputs {
		value, err := out.Value(results)
		if err != nil {
			return &ConfigError{Err: fmt.Errorf("output %s: %w", out.Name, err)}
		}
		if out.Sensitive {
			value = plan.Redacted
		}
		result.Outputs[out.Name] = value
	}
	return nil
}

// lastStages are those that no other stage needs.
func lastStages(stages []*plan.Stage) []string {
	needed := map[string]bool{}
	for _, s := range stages {
		for _, need := range s.Needs {
			needed[need] = true
		}
	}
	var last []string
	for _, s := range stages {
		if !needed[s.ID()] {
			last = append(last, s.ID())
		}
	}
	return last
}
