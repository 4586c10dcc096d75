package config

import (
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/plan"
)

// program reads a skill that is a program of the sandbox.
func (d *decoder) program(s *plan.Skill) {
	s.Program, s.Version, s.Content = d.str("program"), d.str("version"), d.str("content")
	if s.Program == "" {
		s.Program = s.Label
	}
	if strings.ContainsAny(s.Program, "/\x00 \t\n") {
		d.fail(at(d.rng("program"), "Invalid skill", "\"program\" must be the name of a program, without a directory or arguments."))
	}
	if len(s.Content) > maxSkillText {
		d.fail(at(d.rng("content"), "Invalid skill", "The text of a skill must not be over %s.", formatSize(maxSkillText)))
	}
	if d.has("version") && s.Version != plan.Redacted {
		if _, err := version.NewConstraint(s.Version); err != nil {
			d.fail(at(d.rng("version"), "Invalid version", "%q is no constraint on a version. Write it such as \">= 2.4, < 3\".", s.Version))
		}
	}
	if d.has("path") {
		s.Path = d.existing("path")
	}
}

// colleague reads a skill that is another agent.
func (d *decoder) colleague(s *plan.Skill) {
	v, ok := d.value("agent", agentType)
	if !ok || !v.IsKnown() {
		return
	}
	a := v.EncapsulatedValue().(*agentDecl)
	s.Agent = a.plan
	if !a.plan.NeedsInput {
		return
	}
	// What the agent asks of its input must be the task.
	if _, diags := d.l.instantiate(a, d.l.taskInput(s, cty.UnknownVal(cty.String)), false); diags.HasErrors() {
		d.diags = append(d.diags, diags...)
	}
}

// taskInput is the input of an agent that works for another.
func (l *loader) taskInput(s *plan.Skill, task cty.Value) stageInput {
	in := stageInput{value: cty.ObjectVal(map[string]cty.Value{"task": task})}
	if s != nil {
		in.stage = "skill." + s.Plugin + "." + s.Label
	}
	return in
}

// delegate instantiates an agent for a task. One that uses no input has it at the end of its prompt.
func (l *loader) delegate(a *agentDecl, task string) (*plan.AgentRun, error) {
	in := stageInput{}
	if a.plan.NeedsInput {
		in = l.taskInput(nil, cty.StringVal(task))
	}
	run, diags := l.instantiate(a, in, true)
	if err := l.late(diags); err != nil {
		return nil, err
	}
	if !a.plan.NeedsInput {
		run.Prompt += "\n\n" + task
	}
	return run, nil
}
