package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
)

const (
	resultLines = 6   // lines of a tool's result that are shown
	lineWidth   = 160 // runes of a line
)

// writer turns events into lines. It holds what lines need to know of earlier events.
type writer struct {
	style   style
	stages  int        // stages of the run: prefixes are for more than one
	columns func() int // of the terminal; nil where there is none
	emit    func(line string)
	stdout  io.Writer // what a main process writes to its standard output; its standard error goes to emit
	rest    string    // line of its standard error that has no end yet
	blamed  bool      // a stage has shown the error that ends the run
}

// event writes the lines of one event; most events have none or one.
func (w *writer) event(e event.Event) {
	switch d := e.Data.(type) {
	case event.RunStarted:
		w.stages = len(d.Stages)
	case event.StageStarted:
		if w.stages > 1 || d.Attempt > 1 {
			w.line(e.Stage, w.style.bold("started")+attempt(d.Attempt)+w.style.dim(again(d.Again)))
		}
	case event.SandboxReady:
		w.line(e.Stage, w.style.good("✓")+" sandbox "+clean(d.Sandbox)+" ready in "+seconds(d.Took)+w.style.dim("  "+environment(d)))
	case event.Text:
		w.text(e.Stage, d)
	case event.ToolCall:
		w.line(e.Stage, w.style.accent("●")+" "+w.style.bold(clean(d.Tool))+" "+shorten(summary(d), w.room(e.Stage, len(d.Tool)+3)))
	case event.ToolResult:
		w.toolResult(e.Stage, d)
	case event.Output:
		w.output(d)
	case event.Retry:
		w.line(e.Stage, w.style.warn("↻")+fmt.Sprintf(" attempt %d in %s: %s", d.Attempt, seconds(d.Delay), clean(d.Reason)))
	case event.FlowDenied:
		w.line(e.Stage, w.style.warn("⊘")+" network denied "+denied(d))
	case event.KeyUsed:
		w.line(e.Stage, w.style.accent("⚿")+" signed "+keyUse(d.KeyUse))
	case event.KeyRefused:
		w.line(e.Stage, w.style.warn("⊘")+" not signed "+keyUse(d.KeyUse)+": "+clean(d.Reason))
	case event.Warning:
		w.line(e.Stage, w.style.warn("! ")+clean(d.Message)+remedy(d.Remedy))
	case event.StageFinished:
		w.stageFinished(e.Stage, d)
	case event.RunFinished:
		w.runFinished(d)
	}
}

func (w *writer) text(stage string, d event.Text) {
	if d.Partial || strings.TrimSpace(d.Text) == "" {
		return
	}
	for _, line := range strings.Split(strings.TrimSpace(clean(d.Text)), "\n") {
		if d.Thinking {
			line = w.style.dim(line)
		}
		w.line(stage, line)
	}
}

// output passes on what a main process wrote: standard output as it is, so that it can be piped, standard error in whole lines.
func (w *writer) output(d event.Output) {
	if d.Stream == "stdout" {
		io.WriteString(w.stdout, d.Text)
		return
	}
	lines := strings.Split(w.rest+clean(d.Text), "\n")
	for _, line := range lines[:len(lines)-1] {
		w.emit(line)
	}
	w.rest = lines[len(lines)-1]
}

// flush ends a line of standard error that never got its end.
func (w *writer) flush() {
	if w.rest != "" {
		w.emit(w.rest)
		w.rest = ""
	}
}

func (w *writer) toolResult(stage string, d event.ToolResult) {
	lines, more := firstLines(d.Content, resultLines, w.room(stage, 4))
	for _, line := range lines {
		if d.Error {
			line = w.style.bad(line)
		}
		w.line(stage, w.style.dim("  │ ")+line)
	}
	if more > 0 {
		w.line(stage, w.style.dim(fmt.Sprintf("  │ … %d more lines", more)))
	}
}

func (w *writer) stageFinished(stage string, d event.StageFinished) {
	w.flush()
	switch {
	case d.Status == event.Failed:
		w.blamed = true
		w.line(stage, w.style.bad("✗ ")+clean(d.Error)+remedy(d.Remedy))
	case d.ReusedFrom != "":
		w.line(stage, w.style.good("✓")+" reused from run "+clean(d.ReusedFrom)+w.style.dim(cost(d.Reused)))
	case w.stages > 1 && d.Status == event.Skipped:
		w.line(stage, w.style.dim("– skipped: "+clean(d.Error)))
	case w.stages > 1:
		w.line(stage, w.mark(d.Status)+" "+string(d.Status)+after(d.Status)+seconds(d.Took)+w.style.dim(cost(d.Totals)+traffic(d.Traffic)))
	}
}

func (w *writer) runFinished(d event.RunFinished) {
	line := w.mark(d.Status) + " " + w.style.bold(string(d.Status)) + after(d.Status) + seconds(d.Took) +
		w.style.dim(cost(d.Totals)+reused(d.Reused)+traffic(d.Traffic))
	if d.Status == event.Failed && d.Error != "" && !w.blamed {
		line += ": " + clean(d.Error) + remedy(d.Remedy)
	}
	w.line("", line)
}

// after introduces a duration: what was broken off did not happen in a time, but after it.
func after(s event.Status) string {
	if s == event.Cancelled {
		return " after "
	}
	return " in "
}

func (w *writer) mark(s event.Status) string { return w.style.mark(s) }

func (w *writer) line(stage, text string) {
	w.emit(w.style.dim(w.prefix(stage)) + text)
}

// prefix names the stage of a line where there are several.
func (w *writer) prefix(stage string) string {
	if w.stages > 1 && stage != "" {
		return "[" + clean(stage) + "] "
	}
	return ""
}

// room is how long the rest of a line may be that begins with the stage's prefix and used runes.
func (w *writer) room(stage string, used int) int {
	if w.columns == nil {
		return lineWidth
	}
	return min(max(w.columns()-len([]rune(w.prefix(stage)))-used, 20), lineWidth)
}

// summary shows the argument that says most about a call.
func summary(d event.ToolCall) string {
	var args map[string]any
	if json.Unmarshal(d.Arguments, &args) == nil {
		for _, name := range []string{"command", "path", "file_path", "url", "query"} {
			if s, ok := args[name].(string); ok {
				return strings.ReplaceAll(clean(s), "\n", "; ")
			}
		}
	}
	if len(args) == 0 {
		return ""
	}
	return strings.ReplaceAll(clean(string(d.Arguments)), "\n", " ")
}

func environment(d event.SandboxReady) string {
	parts := []string{d.Backend}
	if d.Accelerator == "tcg" {
		parts = append(parts, "emulation")
	} else if d.Accelerator != "" {
		parts = append(parts, d.Accelerator)
	}
	if d.Kernel != "" {
		parts = append(parts, "Linux "+d.Kernel)
	}
	return clean(strings.Join(parts, ", "))
}

func attempt(n int) string {
	if n <= 1 {
		return ""
	}
	return fmt.Sprintf(" (attempt %d)", n)
}

// again says why a stage of a resumed run is not reused.
func again(why string) string {
	if why == "" {
		return ""
	}
	return " again, since " + clean(why)
}

// reused shows what a resumed run did not have to spend.
func reused(t event.Totals) string {
	if t == (event.Totals{}) {
		return ""
	}
	return " · reused:" + strings.TrimPrefix(cost(t), " ·")
}

func remedy(text string) string {
	if text == "" {
		return ""
	}
	return "\n  " + clean(text)
}

// cost shows tokens and money, and says so when the money is unknown.
func cost(t event.Totals) string {
	in := t.InputTokens + t.CacheReadTokens + t.CacheWriteTokens
	if in+t.OutputTokens == 0 && t.CostUSD == 0 {
		return ""
	}
	money := fmt.Sprintf("$%.4f", t.CostUSD)
	switch {
	case !t.CostKnown:
		money = "cost unknown"
	case t.CostUSD == 0:
		money = "$0"
	}
	return fmt.Sprintf(" · %d in / %d out tokens · %s", in, t.OutputTokens, money)
}

func seconds(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d >= time.Minute:
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Value shows an output's value: text as it is, everything else as JSON.
func Value(v any) string {
	if s, ok := v.(string); ok {
		return clean(s)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return clean(string(b))
}
