package agent

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// recorder takes what an agent does, in either mode, and turns it into events and totals. Safe for concurrent use.
type recorder struct {
	events event.Scope

	mu      sync.Mutex
	started bool
	mode    string
	model   string
	skills  []string
	turns   int
	tools   []string
	totals  event.Totals
	text    string // last whole text that is no reasoning
	open    map[string]openCall
}

type openCall struct {
	tool  string
	since time.Time
}

// maxCalls bounds how many calls are remembered: a hostile CLI could announce them for ever.
const maxCalls = 10_000

// start announces the agent, once.
func (r *recorder) start(model string, tools []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		return
	}
	r.started = true
	if model != "" {
		r.model = clean(model)
	}
	r.events.Emit(event.AgentStarted{Model: r.model, Mode: r.mode, Tools: cleaned(tools), Skills: r.skills})
}

// say records a text of the model.
func (r *recorder) say(t llm.Text) {
	text := clean(t.Text)
	if text == "" {
		return
	}
	r.events.Emit(event.Text{Text: text, Thinking: t.Thinking, Partial: t.Partial})
	if t.Thinking || t.Partial {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = text
}

func (r *recorder) call(id, tool string, arguments json.RawMessage) {
	id, tool = clean(id), clean(tool)
	r.events.Emit(event.ToolCall{ID: id, Tool: tool, Arguments: asJSON(arguments)})
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tools) < maxCalls {
		r.tools = append(r.tools, tool)
	}
	if r.open == nil {
		r.open = map[string]openCall{}
	}
	if len(r.open) < maxCalls {
		r.open[id] = openCall{tool: tool, since: time.Now()}
	}
}

// result records the answer to a call. took is measured from the call when it is zero.
func (r *recorder) result(res llm.ToolResult, took time.Duration) {
	id := clean(res.CallID)
	r.mu.Lock()
	call, known := r.open[id]
	delete(r.open, id)
	r.mu.Unlock()
	if took == 0 && known {
		took = time.Since(call.since)
	}
	r.events.Emit(event.ToolResult{ID: id, Tool: call.tool, Content: clean(res.Content), Error: res.Error, Took: took})
}

func (r *recorder) retry(retry llm.Retry) {
	r.events.Emit(event.Retry{Attempt: retry.Attempt, Reason: clean(retry.Reason), Delay: retry.Delay})
}

func (r *recorder) usage(u llm.Usage) {
	totals := totalsOf(u)
	r.events.Emit(event.Usage{Totals: totals})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals = r.totals.Add(totals)
}

// add counts what another agent spent on behalf of this one. Its own recorder has told of it.
func (r *recorder) add(t event.Totals) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals = r.totals.Add(t)
}

func (r *recorder) warn(message, remedy string) {
	r.events.Emit(event.Warning{Message: clean(message), Remedy: remedy})
}

func (r *recorder) spent() event.Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.totals
}

func totalsOf(u llm.Usage) event.Totals {
	return event.Totals{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, CacheReadTokens: u.CacheReadTokens,
		CacheWriteTokens: u.CacheWriteTokens, CostUSD: u.CostUSD, CostKnown: u.CostKnown,
	}
}

func cleaned(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, clean(s))
	}
	return out
}
