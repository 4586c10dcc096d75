// Package llm is the contract of a model provider.
//
// A provider drives an agent in one of two modes. In mode a the agent is somebody's command-line program, such as Claude
// Code: the provider says how it is started inside the sandbox and turns what it prints into events. In mode b the agent is
// voidbox's own loop: the provider is asked for one turn after the other, and tools run inside the sandbox. Both modes end in
// the same Event stream, so that nothing above them branches on the provider.
package llm

import (
	"context"
	"encoding/json"
	"io/fs"
	"time"
)

// LLM is a configured model provider.
type LLM interface {
	// Describe says what the provider can do as configured.
	Describe(ctx context.Context) (Description, error)
	// PlanCLI says how the guest's command-line agent is started (mode a). errdef.ErrUnsupported without mode a.
	PlanCLI(ctx context.Context, req CLIRequest) (CLIPlan, error)
	// ParseCLI opens a parser for the standard output of that agent (mode a). errdef.ErrUnsupported without mode a.
	ParseCLI(ctx context.Context) (Parser, error)
	// Complete asks for the next turn of a conversation (mode b). It calls progress, which may be nil, from the calling
	// goroutine, as deltas arrive or a request is retried; an error of progress ends the call with that error.
	// errdef.ErrUnsupported without mode b.
	Complete(ctx context.Context, req Request, progress func(Progress) error) (Turn, error)
}

// Parser turns lines of an agent's standard output into events. It takes unknown lines in its stride. Not for concurrent use.
type Parser interface {
	// Line takes one line without its newline.
	Line(line []byte) ([]Event, error)
	// Close ends the input; it returns what is left to say.
	Close() ([]Event, error)
}

// Description describes a provider as configured.
type Description struct {
	CLI          bool // mode a
	Native       bool // mode b
	Models       []Model
	DefaultModel string
	Dialect      string // name of the wire dialect, for traces
	PriceList    string // vendor whose published prices the server charges; empty when that is not known
	Interactive  bool   // mode a can have a terminal
}

// Model describes a model. Zero numbers mean unknown.
type Model struct {
	ID              string
	ContextTokens   int
	MaxOutputTokens int
	Tools           bool
	Price           *Price // nil when unknown; never a guess
}

// Price is in US dollars for a million tokens.
type Price struct {
	Input, Output, CacheRead, CacheWrite float64
	// UpTo is how many tokens a request may read for the price to hold; 0 means any number. It does not cross the wire: what longer
	// requests cost is known to the core.
	UpTo uint64
}

// CLIRequest says what an agent run needs of a command-line agent.
type CLIRequest struct {
	Prompt      string
	System      string
	Model       string
	BaseURL     string // where the guest reaches the provider or the credential broker
	Placeholder string // what stands for the credential inside the guest
	MCPServers  []MCPServer
	MaxTurns    int
	Home        string
	WorkingDir  string
	Interactive bool // a person talks to it; Prompt, if any, is what it is told first
}

// CLIPlan says how to start it.
type CLIPlan struct {
	Args        []string
	Env         map[string]string
	Files       []File
	Stdin       []byte
	Credentials []Credential
	Hosts       []string // host:port that must be reachable
	Programs    []string // programs that must exist in the guest
}

// Credential is one that the broker puts into requests. One without a name is none: then the broker is only the way to Upstream, a
// server on the host's loopback that wants no credential.
type Credential struct {
	Name     string // of the argument that holds it
	Upstream string // URL that may receive it
	Header   string
	Prefix   string // text in front of it, such as "Bearer "
}

// File is a file to write into the sandbox.
type File struct {
	Path    string
	Content []byte
	Mode    fs.FileMode
}

// MCPServer is a Model Context Protocol server: either Command or URL is set.
type MCPServer struct {
	Name    string
	Command []string
	Env     map[string]string
	URL     string
}

// Event is one of Init, Text, ToolCall, ToolResult, Retry, Usage, Result.
type Event interface{ agentEvent() }

// Init is the first event.
type Init struct {
	Model   string
	Tools   []string
	Skills  []string
	Session string
}

// Text is text of the model.
type Text struct {
	Text     string
	Thinking bool // reasoning, not for the result
	Partial  bool // a piece of a text that follows whole
}

// ToolCall is a wish of the model. Arguments are as the model wrote them and may be malformed.
type ToolCall struct {
	ID        string
	Name      string
	Arguments json.RawMessage
}

// ToolResult answers a ToolCall.
type ToolResult struct {
	CallID  string
	Content string
	Error   bool
}

// Retry says that the provider is asked again.
type Retry struct {
	Attempt int
	Reason  string
	Delay   time.Duration
}

// Usage counts tokens and money.
type Usage struct {
	InputTokens      uint64
	OutputTokens     uint64
	CacheReadTokens  uint64
	CacheWriteTokens uint64
	CostUSD          float64 // meaningful when CostKnown
	CostKnown        bool
}

// Add returns the sum. Its cost is known only when both costs are; an empty usage costs nothing, for certain.
func (u Usage) Add(v Usage) Usage {
	sum := Usage{
		InputTokens:      u.InputTokens + v.InputTokens,
		OutputTokens:     u.OutputTokens + v.OutputTokens,
		CacheReadTokens:  u.CacheReadTokens + v.CacheReadTokens,
		CacheWriteTokens: u.CacheWriteTokens + v.CacheWriteTokens,
		CostUSD:          u.CostUSD + v.CostUSD,
	}
	sum.CostKnown = (u.CostKnown || u == Usage{}) && (v.CostKnown || v == Usage{})
	return sum
}

// Result is the last event.
type Result struct {
	Text  string
	Error string // set when the agent failed
	Turns int
	Usage Usage
}

func (Init) agentEvent()       {}
func (Text) agentEvent()       {}
func (ToolCall) agentEvent()   {}
func (ToolResult) agentEvent() {}
func (Retry) agentEvent()      {}
func (Usage) agentEvent()      {}
func (Result) agentEvent()     {}

// Progress is what happens on the way to a turn: either Delta or Retry is set.
type Progress struct {
	Delta *Text
	Retry *Retry
}

// Request is a conversation that waits for its next turn.
type Request struct {
	Conversation    string // stays the same over one agent run
	Model           string
	System          string
	Messages        []Message
	Tools           []Tool
	MaxOutputTokens int
	Temperature     *float64
}

// Role is the speaker of a message.
type Role string

// Roles. Results of tools are spoken by the user.
const (
	User      Role = "user"
	Assistant Role = "assistant"
)

// Message is one turn of a conversation.
type Message struct {
	Role  Role
	Parts []Part
}

// Part is a piece of a message; exactly one field is set.
type Part struct {
	Text       string
	ToolCall   *ToolCall
	ToolResult *ToolResult
	Opaque     []byte // state of the provider, carried back unread and in place
}

// Tool is something the model may call.
type Tool struct {
	Name        string
	Description string
	InputSchema json.RawMessage
}

// StopReason says why the model stopped.
type StopReason string

// Stop reasons.
const (
	EndTurn   StopReason = "end_turn"
	ToolUse   StopReason = "tool_use"
	MaxTokens StopReason = "max_tokens"
	Refusal   StopReason = "refusal"
)

// Turn is a finished turn of the model.
type Turn struct {
	Message    Message
	Usage      Usage
	StopReason StopReason
	Model      string
}
