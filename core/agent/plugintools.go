package agent

import (
	"context"
	"encoding/json"

	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// pluginTools are the tools of a skill plugin, which runs them itself, on the host.
type pluginTools struct{ skill skill.Skill }

func (p *pluginTools) Close() error         { return nil } // the plugin is the run's
func (p *pluginTools) instructions() string { return "" }

// maxDescription bounds what a plugin says of a tool.
const maxDescription = 2 << 10

func (p *pluginTools) tools(context.Context) ([]tool, []string) {
	var tools []tool
	for _, offered := range p.skill.Tools {
		tools = append(tools, tool{
			name:        ForeignName(p.skill.Name+"__", offered.Name),
			description: prefix(clean(offered.Description), maxDescription), schema: offered.InputSchema,
			call: func(ctx context.Context, t *toolbox, arguments json.RawMessage) (string, error) {
				callCtx, cancel := context.WithTimeout(ctx, t.deadline)
				defer cancel()
				result, err := p.skill.Call(callCtx, llm.ToolCall{ID: "call", Name: offered.Name, Arguments: arguments})
				switch {
				case ctx.Err() != nil:
					return "", context.Cause(ctx)
				case callCtx.Err() != nil:
					return "", failure("the skill %s did not answer within %v", p.skill.Name, t.deadline)
				case err != nil:
					return "", failure("%s", prefix(clean(err.Error()), 1000))
				case result.Error:
					return "", failure("%s", t.bounded(result.Content))
				}
				return t.bounded(result.Content), nil
			},
		})
	}
	return tools, nil
}
