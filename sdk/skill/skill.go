// Package skill is the contract of a source of skills: it turns a configured source into what an agent gets, and runs those
// of its tools that live on the host's side.
package skill

import (
	"context"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// MaxDescription bounds the text about a skill that every conversation carries, in bytes.
const MaxDescription = 1024

// Skill is one configured source.
type Skill interface {
	// Resolve turns the source into what the agent gets. name is that of the skill's block.
	Resolve(ctx context.Context, name string) (Resolved, error)
	// CallTool runs a tool that Resolve named. An error means that the tool could not be run at all; a tool that fails
	// answers with a result of its own. Sources without tools return errdef.ErrUnsupported.
	CallTool(ctx context.Context, name string, call llm.ToolCall) (llm.ToolResult, error)
}

// Resolved is what the agent gets.
type Resolved struct {
	Description string // for the model; at most MaxDescription bytes
	// Files of the skill's directory, with paths relative to it; SKILL.md is among them.
	Files      []llm.File
	MCPServers []llm.MCPServer
	Tools      []llm.Tool
}
