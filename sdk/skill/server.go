package skill

import (
	"context"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Register serves impl on s.
func Register(s grpc.ServiceRegistrar, impl Skill) {
	pluginv1.RegisterSkillServer(s, &server{impl: impl})
}

type server struct {
	pluginv1.UnimplementedSkillServer
	impl Skill
}

func (s *server) ResolveSkill(ctx context.Context, req *pluginv1.ResolveSkillRequest) (*pluginv1.ResolveSkillResponse, error) {
	resolved, err := s.impl.Resolve(ctx, req.GetName())
	if err == nil {
		err = resolved.check()
	}
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return resolvedToProto(resolved), nil
}

func (s *server) CallTool(ctx context.Context, req *pluginv1.CallToolRequest) (*pluginv1.CallToolResponse, error) {
	call := req.GetCall()
	result, err := s.impl.CallTool(ctx, req.GetSkill(), llm.ToolCall{
		ID: call.GetId(), Name: call.GetName(), Arguments: call.GetArgumentsJson(),
	})
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.CallToolResponse{Result: &pluginv1.ToolResult{
		CallId: result.CallID, Content: result.Content, Error: result.Error,
	}}, nil
}
