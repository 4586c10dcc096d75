package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
)

// hello is a run of one stage, as it is sent.
func hello() []event.Event {
	data := []event.Data{
		event.RunStarted{Plan: "hello", Stages: []string{"hello"}},
		event.StageStarted{Agent: "hello", Sandbox: "box", Attempt: 1},
		event.SandboxProgress{Sandbox: "box", Step: "boot: modules"},
		event.SandboxReady{Sandbox: "box", Backend: "qemu", Accelerator: "tcg", Kernel: "6.1.0", Took: 2 * time.Second},
		event.AgentStarted{Model: "m", Mode: "native"},
		event.ToolCall{ID: "1", Tool: "bash", Arguments: json.RawMessage(`{"command":"uname -a"}`)},
		event.ToolResult{ID: "1", Tool: "bash", Content: "Linux box\n"},
		event.Usage{Totals: event.Totals{InputTokens: 10, OutputTokens: 2}},
		event.Text{Text: "It is Linux."},
		event.StageFinished{Status: event.Succeeded, Output: "It is Linux."},
		event.RunFinished{Status: event.Succeeded, Took: 3 * time.Second, Totals: event.Totals{InputTokens: 10, OutputTokens: 2}},
	}
	events := make([]event.Event, len(data))
	for i, d := range data {
		events[i] = event.Event{Seq: uint64(i + 1), Run: "r", Stage: "hello", Data: d}
	}
	return events
}

func TestPlain(t *testing.T) {
	var out bytes.Buffer
	sink := NewPlain(&out, Clean(&out))
	for _, e := range hello() {
		sink.Event(e)
	}
	want := `box: boot: modules
✓ sandbox box ready in 2.0 s  qemu, emulation, Linux 6.1.0
● bash uname -a
  │ Linux box
It is Linux.
✓ succeeded in 3.0 s · 10 in / 2 out tokens · cost unknown
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestPlainPrefixesStages(t *testing.T) {
	var out bytes.Buffer
	sink := NewPlain(&out, Clean(&out))
	sink.Event(event.Event{Data: event.RunStarted{Stages: []string{"a", "b"}}})
	sink.Event(event.Event{Stage: "a", Data: event.Text{Text: "one\ntwo"}})
	sink.Event(event.Event{Stage: "b", Data: event.StageFinished{Status: event.Skipped, Error: "a failed"}})
	want := "[a] one\n[a] two\n[b] – skipped: a failed\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestGuestCannotDriveTheTerminal(t *testing.T) {
	hostile := "\x1b]0;owned\x07\x1b[2Jred\u202egnp\r\x00"
	var out bytes.Buffer
	sink := NewPlain(&out, Clean(&out))
	for _, d := range []event.Data{
		event.Text{Text: hostile},
		event.ToolCall{Tool: hostile, Arguments: json.RawMessage(`{"command":"\u001b[2J"}`)},
		event.ToolResult{Content: hostile},
		event.Output{Text: hostile}, event.Output{Stream: "stdout", Text: hostile},
		event.StageFinished{Status: event.Failed, Error: hostile, Remedy: hostile},
		event.SandboxProgress{Step: hostile},
		event.Warning{Message: hostile},
		event.Retry{Reason: hostile},
	} {
		sink.Event(event.Event{Stage: hostile, Data: d})
	}
	if i := strings.IndexAny(out.String(), "\x1b\x07\r\x00\u202e"); i >= 0 {
		t.Errorf("a control character reached the terminal: %q", out.String()[i:])
	}
}

func TestJSONIsOneEventALine(t *testing.T) {
	var out bytes.Buffer
	sink := NewJSON(&out)
	for _, e := range hello() {
		sink.Event(e)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(hello()) {
		t.Fatalf("%d lines for %d events", len(lines), len(hello()))
	}
	for _, line := range lines {
		var e struct {
			Seq  int
			Type string
			Data map[string]any
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Seq == 0 || e.Type == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// screen makes a Live on a terminal of a size, which draws at every event, since a tick passes between two.
func screen(out io.Writer, columns *int) *Live {
	now := time.Unix(0, 0)
	return newLive(out, Clean(out), func() (int, int) { return *columns, 24 }, false, func() time.Time {
		now = now.Add(tick)
		return now
	})
}

func columns(n int) *int { return &n }

func TestLiveLeavesOnlyLinesBehind(t *testing.T) {
	var out bytes.Buffer
	l := screen(&out, columns(40))
	for _, e := range hello() {
		l.Event(e)
	}
	if len(l.drawn) != 0 {
		t.Errorf("%d footer lines are left on the screen", len(l.drawn))
	}
	lines := replay(out.String())
	for _, line := range lines {
		if strings.ContainsAny(line, "⠋⠙⠹") {
			t.Errorf("spinner left behind: %q", line)
		}
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "✓ succeeded") {
		t.Errorf("last line is %q", last)
	}
}

// pipeline is a run of five stages, up to a moment in which each is in another state.
func pipeline() []event.Event {
	return []event.Event{
		{Data: event.RunStarted{Pipeline: "report", Stages: []string{"a", "b", "c", "d", "e"}}},
		{Stage: "e", Data: event.StageFinished{Status: event.Succeeded, ReusedFrom: "r0", Reused: event.Totals{InputTokens: 1, CostKnown: true}}},
		{Stage: "a", Data: event.StageStarted{}}, {Stage: "b", Data: event.StageStarted{}},
		{Stage: "a", Data: event.SandboxProgress{Step: "kernel"}},
		{Stage: "b", Data: event.ToolCall{Tool: "bash", Arguments: json.RawMessage(`{"command":"make\n\u001b[2Jall"}`)}},
		{Stage: "b", Data: event.Usage{Totals: event.Totals{InputTokens: 7, OutputTokens: 3, CostKnown: true}}},
		{Stage: "c", Data: event.StageStarted{}},
		{Stage: "c", Data: event.StageFinished{Status: event.Failed, Error: "no such model", Took: 2 * time.Second}},
	}
}

func TestTreeTellsWhatEachStageDoes(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLive(io.Discard, io.Discard, func() (int, int) { return 100, 24 }, false, func() time.Time { return now })
	for _, e := range pipeline() {
		l.Event(e)
	}
	now = now.Add(90 * time.Second)
	want := "\x1b[?7l" +
		"report  2 of 5 stages done  1 min 30 s · 7 in / 3 out tokens · $0\n" +
		"├ ⠋ a  booting the kernel  1 min 30 s\n" +
		"├ ⠋ b  bash make; [2Jall  1 min 30 s · 7 in / 3 out tokens · $0\n" +
		"├ ✗ c  failed: no such model  2.0 s\n" +
		"├ · d  waits  \n" +
		"└ ✓ e  reused  0 ms · 1 in / 0 out tokens · $0\n" +
		"\x1b[?7h"
	if got := l.footer(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// Of many stages those that run are shown, then those that ended last, in the order of the run.
func TestTreeOfManyStages(t *testing.T) {
	var ids []string
	for i := range 1000 {
		ids = append(ids, fmt.Sprint("s", i))
	}
	l := newLive(io.Discard, io.Discard, func() (int, int) { return 100, 8 }, false, time.Now)
	l.Event(event.Event{Data: event.RunStarted{Pipeline: "p", Stages: ids}})
	for _, id := range []string{"s900", "s5", "s7", "s2"} {
		l.Event(event.Event{Stage: id, Data: event.StageStarted{}})
	}
	for _, id := range []string{"s7", "s2"} {
		l.Event(event.Event{Stage: id, Data: event.StageFinished{Status: event.Succeeded}})
	}
	var got []string
	for _, r := range l.tree.rows(style{}, 3, 0, time.Now()) {
		got = append(got, strings.Fields(r.text)[0])
	}
	if want := "p s2 s5 s900 …"; strings.Join(got, " ") != want {
		t.Errorf("shown: %v", got)
	}
}

func TestTreeStaysWhenTheRunIsOver(t *testing.T) {
	var out bytes.Buffer
	l := screen(&out, columns(100))
	for _, e := range append(pipeline(),
		event.Event{Stage: "a", Data: event.StageFinished{Status: event.Cancelled, Took: time.Second}},
		event.Event{Stage: "b", Data: event.StageFinished{Status: event.Succeeded, Took: 3 * time.Second, Totals: event.Totals{InputTokens: 7, CostKnown: true}}},
		event.Event{Data: event.RunFinished{Status: event.Failed, Error: "stage c: no such model", Totals: event.Totals{InputTokens: 7, CostKnown: true}}},
	) {
		l.Event(e)
	}
	lines := replay(out.String())
	got := strings.Join(lines[len(lines)-6:], "\n")
	want := `├ ■ a  cancelled  1.0 s
├ ✓ b  succeeded  3.0 s · 7 in / 0 out tokens · $0
├ ✗ c  failed: no such model  2.0 s
├ · d  not started
└ ✓ e  reused  0 ms · 1 in / 0 out tokens · $0
✗ failed in 0 ms · 7 in / 0 out tokens · $0`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestFooterFitsTheTerminal(t *testing.T) {
	for _, width := range []int{5, 20, 40, 80, 200} {
		l := newLive(io.Discard, io.Discard, func() (int, int) { return width, 24 }, false, time.Now)
		for _, e := range pipeline() {
			l.Event(e)
		}
		l.Event(event.Event{Stage: "b", Data: event.ToolCall{Tool: "bash", Arguments: json.RawMessage(`{"command":"` + strings.Repeat("x", 300) + `"}`)}})
		footer := strings.TrimSuffix(strings.TrimPrefix(l.footer(), "\x1b[?7l"), "\x1b[?7h")
		for _, line := range strings.Split(strings.TrimSuffix(footer, "\n"), "\n") {
			if n := len([]rune(line)); n > max(width, 8) {
				t.Errorf("footer of %d columns on a terminal of %d: %q", n, width, line)
			}
		}
	}
}

func TestFooterThatTheTerminalWrappedIsErasedWhole(t *testing.T) {
	width := 80
	l := newLive(io.Discard, io.Discard, func() (int, int) { return width, 24 }, false, time.Now)
	l.Event(event.Event{Stage: "a", Data: event.StageStarted{}})
	l.tree.step("a", strings.Repeat("x", 300))
	l.drawn = nil
	l.footer()
	width = 30
	if erased := l.erased(); !strings.HasPrefix(erased, "\x1b[3A") {
		t.Errorf("one line of 79 columns takes 3 rows of 30; erased with %q", erased)
	}
}

// However much happens, the screen is drawn once a tick.
func TestLiveDrawsOnceATick(t *testing.T) {
	now := time.Unix(100, 0)
	var out counter
	l := newLive(&out, io.Discard, func() (int, int) { return 80, 24 }, false, func() time.Time { return now })
	for range 1000 {
		l.Event(event.Event{Stage: "a", Data: event.Text{Text: "word"}})
		now = now.Add(time.Millisecond)
	}
	if out.writes > 11 {
		t.Errorf("%d drawings in a second", out.writes)
	}
	close(l.done) // nobody animates
	l.Close()
	if n := strings.Count(out.text.String(), "word"); n != 1000 {
		t.Errorf("%d lines of 1000 are on the screen", n)
	}
}

type counter struct {
	writes int
	text   strings.Builder
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	return c.text.Write(p)
}

func TestFooterDoesNotBreakALine(t *testing.T) {
	var out bytes.Buffer
	l := screen(&out, columns(80))
	l.Event(event.Event{Data: event.RunStarted{}})
	l.Event(event.Event{Stage: "box", Data: event.StageStarted{}})
	l.Event(event.Event{Stage: "box", Data: event.Output{Stream: "stdout", Text: "one\ntw"}})
	l.Event(event.Event{Stage: "box", Data: event.Output{Stream: "stdout", Text: "o\n"}})
	l.Event(event.Event{Stage: "box", Data: event.StageFinished{Status: event.Succeeded}})
	if got := strings.Join(replay(out.String()), "\n"); got != "one\ntwo" {
		t.Errorf("the screen shows %q", got)
	}
}

// replay executes the only sequences that Live sends, cursor up and erase below, and returns the screen's lines.
func replay(output string) []string {
	screen := []string{}
	current := ""
	output = strings.NewReplacer("\x1b[?7l", "", "\x1b[?7h", "").Replace(output)
	for len(output) > 0 {
		if rest, ok := strings.CutPrefix(output, "\x1b["); ok {
			n := int(rest[0] - '0')
			output = strings.TrimPrefix(rest[1:], "A\r\x1b[J")
			screen, current = screen[:len(screen)-n], ""
			continue
		}
		if output[0] == '\n' {
			screen, current, output = append(screen, current), "", output[1:]
			continue
		}
		current, output = current+output[:1], output[1:]
	}
	return screen
}

func TestMainOutputIsExactAndSeparate(t *testing.T) {
	var view, stdout bytes.Buffer
	sink := NewPlain(&view, &stdout)
	sink.Event(event.Event{Data: event.RunStarted{Stages: []string{}}})
	for _, d := range []event.Data{
		event.Output{Stream: "stdout", Text: "a\nb"},
		event.Output{Stream: "stderr", Text: "war"},
		event.Output{Stream: "stdout", Text: "c\x00\n"},
		event.Output{Stream: "stderr", Text: "ning\nno end"},
		event.StageFinished{Status: event.Succeeded},
	} {
		sink.Event(event.Event{Stage: "box", Data: d})
	}
	if stdout.String() != "a\nbc\x00\n" {
		t.Errorf("standard output is %q", stdout.String())
	}
	if view.String() != "warning\nno end\n" {
		t.Errorf("the view shows %q", view.String())
	}
}

func TestErrorIsShownOnce(t *testing.T) {
	early := []event.Data{
		event.RunStarted{Stages: []string{"a"}},
		event.RunFinished{Status: event.Failed, Error: "no backend", Remedy: "voidbox doctor"},
	}
	late := []event.Data{
		event.RunStarted{Stages: []string{"a"}},
		event.StageFinished{Status: event.Failed, Error: "no backend", Remedy: "voidbox doctor"},
		event.RunFinished{Status: event.Failed, Error: "stage a: no backend", Remedy: "voidbox doctor"},
	}
	for _, events := range [][]event.Data{early, late} {
		var out bytes.Buffer
		sink := NewPlain(&out, io.Discard)
		for _, d := range events {
			sink.Event(event.Event{Stage: "a", Data: d})
		}
		for _, want := range []string{"no backend", "voidbox doctor"} {
			if n := strings.Count(out.String(), want); n != 1 {
				t.Errorf("%q is shown %d times:\n%s", want, n, out.String())
			}
		}
	}
}
