// Package event is the one stream of events that everything reports into: the terminal view, --json, the run directory and,
// later, traces read nothing else.
//
// An event belongs to a run, mostly to a stage of it, and to a span, so that a tree can be drawn from the stream alone. Its
// payload is one of the Data types, whose JSON form is part of the public interface of `voidbox run --json`: fields are added,
// never renamed.
package event

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Event is one thing that happened.
type Event struct {
	Seq    uint64    // from 1, without gaps within a run
	Time   time.Time // UTC
	Run    string
	Stage  string // ID of the stage; empty for the run itself
	Span   string // 16 hex digits
	Parent string // span that this one is part of; empty for the run's own
	Data   Data
}

// Data is the payload of an event.
type Data interface{ Type() string }

// The payloads, in the order in which a run usually sends them.
type (
	// RunStarted is the first event.
	RunStarted struct {
		Plan     string   `json:"plan"`
		Pipeline string   `json:"pipeline,omitempty"`
		Stages   []string `json:"stages"`
		Version  string   `json:"version"`
		Resumes  string   `json:"resumes,omitempty"` // the run that this one goes on with
	}
	// StageStarted says that a stage left the queue.
	StageStarted struct {
		Agent   string   `json:"agent,omitempty"`
		Sandbox string   `json:"sandbox"`
		LLM     string   `json:"llm,omitempty"`
		Attempt int      `json:"attempt"`
		Needs   []string `json:"needs,omitempty"`
		// Again says why the stage runs although a former run, which this one resumes, has finished it.
		Again string `json:"again,omitempty"`
	}
	// SandboxProgress is a step on the way to a ready sandbox, such as "fetching kernel" or "boot: modules".
	SandboxProgress struct {
		Sandbox string `json:"sandbox"`
		Step    string `json:"step"`
	}
	// SandboxReady says that the sandbox answered.
	SandboxReady struct {
		Sandbox     string        `json:"sandbox"`
		Backend     string        `json:"backend"`
		Accelerator string        `json:"accelerator,omitempty"`
		Kernel      string        `json:"kernel,omitempty"`
		Image       string        `json:"image,omitempty"` // digest; empty for the built-in system and raw disks
		Took        time.Duration `json:"took_ns"`
	}
	// SandboxStopped says that the sandbox and all that belongs to it is gone.
	SandboxStopped struct {
		Sandbox string `json:"sandbox"`
	}
	// AgentStarted says which model an agent talks to.
	AgentStarted struct {
		Model  string   `json:"model,omitempty"`
		Mode   string   `json:"mode"`
		Tools  []string `json:"tools,omitempty"`
		Skills []string `json:"skills,omitempty"`
	}
	// Text is text of the model.
	Text struct {
		Text     string `json:"text"`
		Thinking bool   `json:"thinking,omitempty"`
		Partial  bool   `json:"partial,omitempty"` // a piece of a text that follows whole
	}
	// ToolCall is a call as it is executed, arguments repaired.
	ToolCall struct {
		ID        string          `json:"id"`
		Tool      string          `json:"tool"`
		Arguments json.RawMessage `json:"arguments"`
	}
	// ToolResult is what the model is told.
	ToolResult struct {
		ID      string        `json:"id"`
		Tool    string        `json:"tool"`
		Content string        `json:"content"`
		Error   bool          `json:"error,omitempty"`
		Took    time.Duration `json:"took_ns"`
	}
	// Output is what a main process wrote, for runs of a sandbox without an agent.
	Output struct {
		Stream string `json:"stream"` // stdout or stderr
		Text   string `json:"text"`
	}
	// Retry says that something is tried again.
	Retry struct {
		Attempt int           `json:"attempt"`
		Reason  string        `json:"reason"`
		Delay   time.Duration `json:"delay_ns"`
	}
	// Usage is what one turn cost.
	Usage struct {
		Totals
	}
	// FlowOpened says that the guest's network let a flow through.
	FlowOpened struct {
		Flow
	}
	// FlowClosed says that a flow ended, however it did.
	FlowClosed struct {
		Flow
		SentBytes     uint64        `json:"sent_bytes"`
		ReceivedBytes uint64        `json:"received_bytes"`
		Took          time.Duration `json:"took_ns"`
	}
	// FlowDenied says that the guest may not go where it wanted to. What it tries again and again is told at the first, tenth,
	// hundredth time and so on.
	FlowDenied struct {
		Flow
		Times uint64 `json:"times"`
	}
	// KeyUsed says that a key on the host has signed for the guest.
	KeyUsed struct {
		KeyUse
	}
	// KeyRefused says that it has not, and why. A guest that goes on asking is not told of for ever.
	KeyRefused struct {
		KeyUse
		Reason string `json:"reason"`
	}
	// Warning is something that the user should know.
	Warning struct {
		Message string `json:"message"`
		Remedy  string `json:"remedy,omitempty"`
	}
	// StageFinished is the last event of a stage. A stage that was skipped, or reused from a former run, sends no StageStarted.
	StageFinished struct {
		Status  Status        `json:"status"`
		Output  string        `json:"output,omitempty"`
		Error   string        `json:"error,omitempty"`
		Remedy  string        `json:"remedy,omitempty"`
		Turns   int           `json:"turns"`
		Tools   []string      `json:"tools,omitempty"`
		Totals  Totals        `json:"totals"`
		Traffic Traffic       `json:"traffic,omitzero"`
		Took    time.Duration `json:"took_ns"`
		// ReusedFrom is the run whose result this is, and Reused what it spent on it. Totals are nothing then.
		ReusedFrom string `json:"reused_from,omitempty"`
		Reused     Totals `json:"reused_totals,omitzero"`
	}
	// RunFinished is the last event.
	RunFinished struct {
		Status  Status         `json:"status"`
		Output  string         `json:"output,omitempty"` // of the only last stage
		Outputs map[string]any `json:"outputs,omitempty"`
		Error   string         `json:"error,omitempty"`
		Remedy  string         `json:"remedy,omitempty"`
		Totals  Totals         `json:"totals"`
		Reused  Totals         `json:"reused_totals,omitzero"` // spent by former runs on stages that were used again
		Traffic Traffic        `json:"traffic,omitzero"`
		Took    time.Duration  `json:"took_ns"`
	}
)

// Totals counts tokens and money.
type Totals struct {
	InputTokens      uint64  `json:"input_tokens"`
	OutputTokens     uint64  `json:"output_tokens"`
	CacheReadTokens  uint64  `json:"cache_read_tokens,omitempty"`
	CacheWriteTokens uint64  `json:"cache_write_tokens,omitempty"`
	CostUSD          float64 `json:"cost_usd"`
	CostKnown        bool    `json:"cost_known"`
}

// Add returns the sum; its cost is known only when both are. Empty totals cost nothing, for certain.
func (t Totals) Add(u Totals) Totals {
	return Totals{
		InputTokens:      t.InputTokens + u.InputTokens,
		OutputTokens:     t.OutputTokens + u.OutputTokens,
		CacheReadTokens:  t.CacheReadTokens + u.CacheReadTokens,
		CacheWriteTokens: t.CacheWriteTokens + u.CacheWriteTokens,
		CostUSD:          t.CostUSD + u.CostUSD,
		CostKnown:        (t.CostKnown || t == Totals{}) && (u.CostKnown || u == Totals{}),
	}
}

// Status is how a stage or a run ended.
type Status string

// Statuses.
const (
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
	Skipped   Status = "skipped" // something that it needs did not succeed
)

// Type names, as they stand in JSON.
func (RunStarted) Type() string      { return "run_started" }
func (StageStarted) Type() string    { return "stage_started" }
func (SandboxProgress) Type() string { return "sandbox_progress" }
func (SandboxReady) Type() string    { return "sandbox_ready" }
func (SandboxStopped) Type() string  { return "sandbox_stopped" }
func (AgentStarted) Type() string    { return "agent_started" }
func (Text) Type() string            { return "text" }
func (ToolCall) Type() string        { return "tool_call" }
func (ToolResult) Type() string      { return "tool_result" }
func (Output) Type() string          { return "output" }
func (Retry) Type() string           { return "retry" }
func (Usage) Type() string           { return "usage" }
func (FlowOpened) Type() string      { return "flow_opened" }
func (FlowClosed) Type() string      { return "flow_closed" }
func (FlowDenied) Type() string      { return "flow_denied" }
func (KeyUsed) Type() string         { return "key_used" }
func (KeyRefused) Type() string      { return "key_refused" }
func (Warning) Type() string         { return "warning" }
func (StageFinished) Type() string   { return "stage_finished" }
func (RunFinished) Type() string     { return "run_finished" }

// MarshalJSON writes the event as one flat object: the envelope, then the payload under "data".
func (e Event) MarshalJSON() ([]byte, error) {
	if e.Data == nil {
		return nil, fmt.Errorf("event %d has no data", e.Seq)
	}
	return json.Marshal(struct {
		Seq    uint64    `json:"seq"`
		Time   time.Time `json:"time"`
		Run    string    `json:"run"`
		Stage  string    `json:"stage,omitempty"`
		Span   string    `json:"span"`
		Parent string    `json:"parent,omitempty"`
		Type   string    `json:"type"`
		Data   Data      `json:"data"`
	}{e.Seq, e.Time, e.Run, e.Stage, e.Span, e.Parent, e.Data.Type(), e.Data})
}

// Sink takes events. It is called by one goroutine at a time, in order of Seq, and must not keep the caller waiting for long.
type Sink interface {
	Event(Event)
}

// SinkFunc is a Sink made of a function.
type SinkFunc func(Event)

// Event calls the function.
func (f SinkFunc) Event(e Event) { f(e) }

// Stream numbers events and hands them to its sinks in order. It is safe for concurrent use.
type Stream struct {
	mu    sync.Mutex
	run   string
	seq   uint64
	clock func() time.Time
	sinks []Sink
}

// NewStream returns the stream of one run.
func NewStream(run string, sinks ...Sink) *Stream {
	return &Stream{run: run, clock: time.Now, sinks: sinks}
}

// Scope emits events of one stage and span.
type Scope struct {
	stream              *Stream
	stage, span, parent string
}

// Root returns the scope of the run itself.
func (s *Stream) Root() Scope { return Scope{stream: s, span: newSpan()} }

// Stage returns a scope below this one that belongs to a stage.
func (s Scope) Stage(id string) Scope {
	return Scope{stream: s.stream, stage: id, span: newSpan(), parent: s.span}
}

// Child returns a scope below this one, in the same stage.
func (s Scope) Child() Scope {
	return Scope{stream: s.stream, stage: s.stage, span: newSpan(), parent: s.span}
}

// StageID is the stage that the scope belongs to; empty for the run itself.
func (s Scope) StageID() string { return s.stage }

// Emit sends one event. The zero Scope drops it.
func (s Scope) Emit(data Data) {
	if s.stream == nil {
		return
	}
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	s.stream.seq++
	e := Event{
		Seq: s.stream.seq, Time: s.stream.clock().UTC(), Run: s.stream.run,
		Stage: s.stage, Span: s.span, Parent: s.parent, Data: data,
	}
	for _, sink := range s.stream.sinks {
		sink.Event(e)
	}
}
