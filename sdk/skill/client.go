package skill

import (
	"context"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// NewClient returns the source of skills at the other end of conn, which stays the caller's to close.
func NewClient(conn grpc.ClientConnInterface) Skill {
	return &client{rpc: pluginv1.NewSkillClient(conn)}
}

type client struct{ rpc pluginv1.SkillClient }

func (c *client) Resolve(ctx context.Context, name string) (Resolved, error) {
	resp, err := c.rpc.ResolveSkill(ctx, &pluginv1.ResolveSkillRequest{Name: name})
	if err != nil {
		return Resolved{}, errdef.FromStatus(err)
	}
	resolved, err := resolvedFromProto(resp)
	if err != nil {
		return Resolved{}, err
	}
	return resolved, resolved.check()
}

func (c *client) CallTool(ctx context.Context, name string, call llm.ToolCall) (llm.ToolResult, error) {
	resp, err := c.rpc.CallTool(ctx, &pluginv1.CallToolRequest{
		Skill: name,
		Call:  &pluginv1.ToolCall{Id: call.ID, Name: call.Name, ArgumentsJson: call.Arguments},
	})
	if err != nil {
		return llm.ToolResult{}, errdef.FromStatus(err)
	}
	r := resp.GetResult()
	return llm.ToolResult{CallID: r.GetCallId(), Content: r.GetContent(), Error: r.GetError()}, nil
}
