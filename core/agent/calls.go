package agent

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

const (
	// maxAtOnce bounds how many tools of one turn run at the same time.
	maxAtOnce = 8
	// maxCallsPerTurn bounds how many calls of one turn are carried out; the rest are told so.
	maxCallsPerTurn = 64
)

// plannedCall is a call of the model, checked and ready to run, or one that cannot be run and says why.
type plannedCall struct {
	llm.ToolCall
	tool    tool
	args    arguments
	problem error
	after   chan struct{} // closed when the call before it on the same file is through; may be nil
	done    chan struct{}
}

// plan checks the calls of a turn. Calls on the same file are chained in their order, since an edit may count on an earlier one.
func (t *toolbox) plan(calls []llm.ToolCall, cut bool) []*plannedCall {
	planned := make([]*plannedCall, len(calls))
	last := map[string]chan struct{}{}
	for i, call := range calls {
		p := &plannedCall{ToolCall: call, done: make(chan struct{})}
		planned[i] = p
		if i >= maxCallsPerTurn {
			p.problem = failure("not carried out: a turn may call at most %d tools", maxCallsPerTurn)
			continue
		}
		if p.problem = p.prepare(t.tools, cut); p.problem != nil {
			continue
		}
		if file, ok := p.args["path"].(string); ok {
			key := t.path(file)
			p.after, last[key] = last[key], p.done
		}
	}
	return planned
}

// prepare finds the tool and repairs and checks the arguments.
func (p *plannedCall) prepare(tools []tool, cut bool) error {
	var names []string
	for _, t := range tools {
		if t.name == p.Name {
			p.tool = t
		}
		names = append(names, t.name)
	}
	if p.tool.run == nil && p.tool.call == nil {
		return failure("there is no tool %s; the tools are %s", quote(p.Name), strings.Join(names, ", "))
	}
	object, err := repair(p.Arguments, cut)
	if err != nil {
		return failure("%v: %s", err, quote(string(p.Arguments)))
	}
	p.Arguments = object
	if p.tool.call != nil {
		return nil // its owner knows its schema
	}
	p.args, err = p.tool.check(object)
	return err
}

// execute runs the calls of a turn and returns their results in the order of the calls. The events of calls and results are in
// that order too, however the tools overtake each other. An error means that the run is over.
func (t *toolbox) execute(ctx context.Context, calls []*plannedCall, rec *recorder) ([]llm.ToolResult, error) {
	for _, call := range calls {
		rec.call(call.ID, call.Name, call.Arguments)
	}
	results := make([]llm.ToolResult, len(calls))
	announce := inOrder(len(calls), func(i int, took time.Duration) { rec.result(results[i], took) })
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxAtOnce)
	for i, call := range calls {
		// The one before on the same file was started earlier, so waiting for it cannot block the group for ever.
		group.Go(func() error {
			defer close(call.done)
			if call.after != nil {
				<-call.after
			}
			start := time.Now()
			result, err := t.call(ctx, call)
			if err != nil {
				return err
			}
			results[i] = result
			announce(i, max(time.Since(start), 1))
			return nil
		})
	}
	return results, group.Wait()
}

// call carries out one call.
func (t *toolbox) call(ctx context.Context, call *plannedCall) (llm.ToolResult, error) {
	if ctx.Err() != nil {
		return llm.ToolResult{}, context.Cause(ctx)
	}
	content, err := "", call.problem
	switch {
	case err != nil:
	case call.tool.call != nil:
		content, err = call.tool.call(ctx, t, call.Arguments)
	default:
		content, err = call.tool.run(ctx, t, call.args)
	}
	var told *toolError
	if errors.As(err, &told) {
		return llm.ToolResult{CallID: call.ID, Content: clean(told.text), Error: true}, nil
	}
	if content == "" {
		content = "(no output)"
	}
	return llm.ToolResult{CallID: call.ID, Content: content}, err
}

// inOrder returns a function that is told, in any order and by any goroutine, that item i of n is ready; each is called for every
// item in order, one at a time.
func inOrder(n int, each func(i int, took time.Duration)) func(i int, took time.Duration) {
	var mu sync.Mutex
	next, ready := 0, make([]time.Duration, n)
	return func(i int, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		for ready[i] = took; next < n && ready[next] > 0; next++ {
			each(next, ready[next])
		}
	}
}

// mended returns the turn's message with the arguments that were executed, so that the model, and its provider, see JSON from
// then on. What could not be repaired stays as it was.
func mended(m llm.Message, calls []*plannedCall) llm.Message {
	byID := map[string]json.RawMessage{}
	for _, call := range calls {
		byID[call.ID] = call.Arguments
	}
	out := llm.Message{Role: m.Role, Parts: make([]llm.Part, len(m.Parts))}
	for i, part := range m.Parts {
		if part.ToolCall != nil {
			call := *part.ToolCall
			call.Arguments = byID[call.ID]
			part.ToolCall = &call
		}
		out.Parts[i] = part
	}
	return out
}
