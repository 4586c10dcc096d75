package run

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	sdkskill "github.com/voidbox-run/voidbox/sdk/skill"
)

// maxDepth is how many agents may stand above another that works for them.
const maxDepth = 3

// sources are where the run's skills come from. Their plugins belong to the run.
func (r *Run) sources() skill.Sources {
	return skill.Sources{Store: r.store, Plugin: func(ctx context.Context, d *plan.Skill) (sdkskill.Skill, error) {
		plugin, err := r.crew.shared(r.ctx, ctx, d, skillRequest(d))
		if err != nil {
			return nil, err
		}
		return plugin.Skill(), nil
	}}
}

// team lists an agent and those that work for it.
func team(a *plan.Agent, depth int) ([]*plan.Agent, error) {
	if depth > maxDepth {
		return nil, errdef.New(errdef.ErrInvalid, "agent %s is %d agents below the first, at most %d are allowed", a.Name, depth, maxDepth)
	}
	all := []*plan.Agent{a}
	for _, s := range a.Skills {
		if s.Agent == nil {
			continue
		}
		below, err := team(s.Agent, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

// delegates returns how an agent has others do tasks: in its own sandbox, when theirs is the same block, else in a clean one.
func (r *Run) delegates(env *environment, j job, events event.Scope) func(context.Context, *plan.AgentRun) (agent.Report, error) {
	if j.depth >= maxDepth {
		return nil
	}
	var asked atomic.Int64
	return func(ctx context.Context, sub *plan.AgentRun) (agent.Report, error) {
		skills, err := skill.Load(ctx, sub.Skills, r.sources())
		if err != nil {
			return agent.Report{}, err
		}
		task := job{conversation: fmt.Sprintf("%s/%s-%d", j.conversation, sub.Agent, asked.Add(1)), bound: sub, skills: skills, depth: j.depth + 1}
		if sub.Sandbox != j.bound.Sandbox {
			return r.work(ctx, task, events.Child())
		}
		return r.drive(ctx, env, task, nil, events.Child())
	}
}
