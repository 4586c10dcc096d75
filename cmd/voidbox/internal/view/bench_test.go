package view

import (
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
)

// busy are events of a pipeline at work, in the mixture in which agents send them: pieces of texts, texts, calls, results.
func busy(n int) []event.Event {
	stages := []string{"plan", `research["boot"]`, `research["network"]`, "write"}
	events := []event.Event{{Seq: 1, Run: "r", Data: event.RunStarted{Pipeline: "report", Stages: stages}}}
	for _, s := range stages {
		events = append(events, event.Event{Stage: s, Data: event.StageStarted{Agent: "worker", Sandbox: "box", Attempt: 1}})
	}
	mixture := []event.Data{
		event.Text{Text: "Let me", Partial: true}, event.Text{Text: " look at the files.", Partial: true},
		event.Text{Text: "Let me look at the files."},
		event.Usage{Totals: event.Totals{InputTokens: 1200, OutputTokens: 80, CostUSD: 0.01, CostKnown: true}},
		event.ToolCall{ID: "1", Tool: "bash", Arguments: json.RawMessage(`{"command":"grep -rn 'func main' --include=*.go . | head -20"}`)},
		event.ToolResult{ID: "1", Tool: "bash", Content: "./cmd/a/main.go:11:func main() {\n./cmd/b/main.go:9:func main() {\n", Took: time.Millisecond},
	}
	for i := len(events); i < n; i++ {
		events = append(events, event.Event{
			Seq: uint64(i + 1), Time: time.Unix(int64(i), 0).UTC(), Run: "20260102-030405-1a2b3c4d", Stage: stages[i%len(stages)],
			Span: fmt.Sprintf("%016x", i), Parent: "0123456789abcdef", Data: mixture[i%len(mixture)],
		})
	}
	return events
}

// BenchmarkRenderBesideJSON shows 10,000 events on a terminal, in colour, and writes them as JSON lines, by turns. `make bench-run` reads
// its metrics.
func BenchmarkRenderBesideJSON(b *testing.B) {
	events := busy(10_000)
	var render, lines time.Duration
	for b.Loop() {
		start := time.Now()
		live := NewLive(io.Discard, io.Discard, func() (int, int) { return 120, 40 }, true)
		for _, e := range events {
			live.Event(e)
		}
		live.Close()
		render += time.Since(start)
		start = time.Now()
		sink := NewJSON(io.Discard)
		for _, e := range events {
			sink.Event(e)
		}
		lines += time.Since(start)
	}
	b.ReportMetric(render.Seconds()*1e3/float64(b.N), "ms/render")
	b.ReportMetric(lines.Seconds()*1e3/float64(b.N), "ms/json")
	b.ReportMetric(render.Seconds()/lines.Seconds(), "ratio")
}
