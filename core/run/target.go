package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// A target is what a run executes: stages, or the main process of one sandbox.
type target struct {
	name     string // as in --target
	pipeline *plan.Pipeline
	stages   []*plan.Stage
	sandbox  *plan.Sandbox
}

// Targets lists what can be run, as --target takes it.
func Targets(p *plan.Plan) []string {
	var names []string
	for _, x := range p.Pipelines {
		names = append(names, "pipeline."+x.Name)
	}
	for _, x := range p.Agents {
		if !x.NeedsInput {
			names = append(names, "agent."+x.Name)
		}
	}
	for _, x := range p.Sandboxes {
		names = append(names, "sandbox."+x.Name)
	}
	return names
}

// pickTarget returns what name says, or, when it is empty, the only pipeline, else the only agent, else the only sandbox.
func pickTarget(p *plan.Plan, name string) (target, error) {
	if name == "" {
		var err error
		if name, err = defaultTarget(p); err != nil {
			return target{}, err
		}
	}
	kind, label, _ := strings.Cut(name, ".")
	switch kind {
	case "pipeline":
		if i := slices.IndexFunc(p.Pipelines, func(x *plan.Pipeline) bool { return x.Name == label }); i >= 0 {
			return target{name: name, pipeline: p.Pipelines[i], stages: p.Pipelines[i].Stages}, nil
		}
	case "agent":
		if i := slices.IndexFunc(p.Agents, func(x *plan.Agent) bool { return x.Name == label }); i >= 0 {
			return agentTarget(name, p.Agents[i])
		}
	case "sandbox":
		if i := slices.IndexFunc(p.Sandboxes, func(x *plan.Sandbox) bool { return x.Name == label }); i >= 0 {
			return target{name: name, sandbox: p.Sandboxes[i]}, nil
		}
	}
	return target{}, noTarget(p, fmt.Sprintf("there is no target %q", name))
}

func agentTarget(name string, a *plan.Agent) (target, error) {
	if a.NeedsInput {
		return target{}, errdef.New(errdef.ErrInvalid, "%s needs input, which only a stage of a pipeline can give", name).
			WithRemedy("run the pipeline that it belongs to")
	}
	stage := &plan.Stage{Name: a.Name, Agent: a, Bind: func(plan.Results) (*plan.AgentRun, error) { return a.Bind() }}
	return target{name: name, stages: []*plan.Stage{stage}}, nil
}

func defaultTarget(p *plan.Plan) (string, error) {
	var free []*plan.Agent
	for _, a := range p.Agents {
		if !a.NeedsInput {
			free = append(free, a)
		}
	}
	switch {
	case len(p.Pipelines) == 1:
		return "pipeline." + p.Pipelines[0].Name, nil
	case len(p.Pipelines) > 1:
		return "", noTarget(p, "there is more than one pipeline")
	case len(free) == 1:
		return "agent." + free[0].Name, nil
	case len(free) > 1:
		return "", noTarget(p, "there is more than one agent")
	case len(p.Agents) > 0:
		return "", noTarget(p, "the agents need input, and there is no pipeline that gives it")
	case len(p.Sandboxes) == 1:
		return "sandbox." + p.Sandboxes[0].Name, nil
	case len(p.Sandboxes) > 1:
		return "", noTarget(p, "there is more than one sandbox")
	}
	return "", noTarget(p, "there is nothing to run")
}

func noTarget(p *plan.Plan, why string) error {
	err := errdef.New(errdef.ErrInvalid, "%s", why)
	if names := Targets(p); len(names) > 0 {
		return err.WithRemedy("choose with --target: %s", strings.Join(names, ", "))
	}
	return err.WithRemedy("declare a pipeline, an agent or a sandbox")
}
