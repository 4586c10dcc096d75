package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill"
)

// delegation is another agent as a tool: the model gives it a task and gets its output. What it spends is spent by the agent that
// asked, out of that agent's budget, so that one of them works at a time.
type delegation struct {
	session *session
	skill   skill.Skill
}

func (d *delegation) Close() error         { return nil }
func (d *delegation) instructions() string { return "" }

var taskSchema = json.RawMessage(`{"type":"object","properties":{"task":{"type":"string",` +
	`"description":"The task, with all that the agent must know: it sees nothing else of this conversation."}},"required":["task"],"additionalProperties":false}`)

// maxTask is the longest task, in bytes.
const maxTask = 256 << 10

func (d *delegation) tools(context.Context) ([]tool, []string) {
	return []tool{{
		name: ForeignName("agent__", d.skill.Name), schema: taskSchema,
		description: prefix("Gives a task to another agent and returns its answer. "+clean(d.skill.Description), maxDescription),
		call: func(ctx context.Context, t *toolbox, arguments json.RawMessage) (string, error) {
			var args struct {
				Task string `json:"task"`
			}
			switch err := json.Unmarshal(arguments, &args); {
			case err != nil:
				return "", failure("the argument \"task\" must be of type string")
			case args.Task == "":
				return "", failure("the argument \"task\" is missing")
			case len(args.Task) > maxTask:
				return "", failure("the task is longer than %d bytes; put what it is about into a file of the sandbox", maxTask)
			}
			output, err := d.session.delegate(ctx, d.skill, args.Task)
			if err != nil {
				return "", err
			}
			return t.bounded(output), nil
		},
	}}, nil
}

// delegate has another agent do a task.
func (s *session) delegate(ctx context.Context, to skill.Skill, task string) (string, error) {
	if s.Delegate == nil {
		return "", failure("agents are nested too deeply here: do the task yourself")
	}
	s.delegating.Lock()
	defer s.delegating.Unlock()
	if err := s.meter.check(s.rec.spent()); err != nil {
		return "", err
	}
	run, err := to.Agent.Delegate(task)
	if err != nil {
		return "", fmt.Errorf("agent %s: %w", to.AgentName, err)
	}
	run.Budget = within(run.Budget, s.Agent.Budget, s.rec.spent())
	report, err := s.Delegate(ctx, run)
	s.rec.add(report.Totals)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", failure("the agent %s has failed: %s", to.AgentName, prefix(clean(err.Error()), 2000))
	}
	return report.Output, nil
}

// within is a budget that is not larger than what is left of another.
func within(own, of plan.Budget, spent event.Totals) plan.Budget {
	if of.Tokens > 0 {
		if left := max(of.Tokens-min(tokens(spent), of.Tokens), 1); own.Tokens == 0 || left < own.Tokens {
			own.Tokens = left
		}
	}
	if of.USD > 0 {
		if left := max(of.USD-spent.CostUSD, 1e-9); own.USD == 0 || left < own.USD {
			own.USD = left
		}
	}
	return own
}
