package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
)

// frames of the spinner, one a tick.
var frames = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

const (
	treeMin  = 4   // stages that are shown on the smallest terminal
	treeMax  = 16  // and on the largest
	finalMax = 200 // and of a run that is over, when they may scroll away
)

// tree is what is known of a run and of each of its stages.
type tree struct {
	name     string
	started  time.Time
	stages   []*branch // in the order in which the run announced them
	byID     map[string]*branch
	finished int
	totals   event.Totals
	reused   event.Totals
	over     bool
	changes  int
}

// branch is a stage.
type branch struct {
	id      string
	status  event.Status // empty for one that waits or runs
	running bool
	step    string // what it does, or why it did not
	started time.Time
	took    time.Duration
	totals  event.Totals
	changed int // when it last was something else; later is higher
}

// note keeps the facts of an event.
func (t *tree) note(e event.Event, now time.Time) {
	switch d := e.Data.(type) {
	case event.RunStarted:
		t.name, t.started, t.byID = d.Pipeline, now, map[string]*branch{}
		for _, id := range d.Stages {
			t.branch(id)
		}
	case event.StageStarted:
		b := t.branch(e.Stage)
		b.running, b.step, b.started = true, "starting", now
		if d.Attempt > 1 {
			b.step = "starting" + attempt(d.Attempt)
		}
		t.touch(b)
	case event.SandboxProgress:
		if words := stepWords(d.Step); words != "" {
			t.step(e.Stage, words)
		}
	case event.SandboxReady:
		t.step(e.Stage, "running")
	case event.AgentStarted, event.ToolResult:
		t.step(e.Stage, "thinking")
	case event.ToolCall:
		t.step(e.Stage, d.Tool+" "+summary(d))
	case event.Retry:
		t.step(e.Stage, "waits to try again: "+d.Reason)
	case event.Text:
		if !d.Partial && !d.Thinking {
			t.step(e.Stage, "finishing") // unless a tool call follows, which says so itself
		}
	case event.Usage:
		t.totals = t.totals.Add(d.Totals)
		if b := t.byID[e.Stage]; b != nil {
			b.totals = b.totals.Add(d.Totals)
		}
	case event.StageFinished:
		t.finish(t.branch(e.Stage), d)
	case event.RunFinished:
		t.over, t.totals, t.reused = true, d.Totals, d.Reused
	}
}

func (t *tree) finish(b *branch, d event.StageFinished) {
	b.running, b.status, b.took, b.totals = false, d.Status, d.Took, d.Totals
	switch {
	case d.ReusedFrom != "":
		b.step, b.totals = "reused", d.Reused
	case d.Status == event.Failed || d.Status == event.Skipped:
		b.step = string(d.Status) + ": " + d.Error
	default:
		b.step = string(d.Status)
	}
	t.finished++
	t.touch(b)
}

// branch returns that of a stage. A sandbox without an agent is not announced.
func (t *tree) branch(id string) *branch {
	b := t.byID[id]
	if b == nil {
		b = &branch{id: id}
		if t.byID == nil {
			t.byID = map[string]*branch{}
		}
		t.byID[id] = b
		t.stages = append(t.stages, b)
	}
	return b
}

func (t *tree) touch(b *branch) {
	t.changes++
	b.changed = t.changes
}

func (t *tree) step(stage, step string) {
	if b := t.byID[stage]; b != nil && b.running {
		b.step = step
	}
}

func (t *tree) active() bool {
	return !t.over && slices.ContainsFunc(t.stages, func(b *branch) bool { return b.running || len(t.stages) > 1 && t.finished > 0 })
}

// row is a line of the tree: a limb and a mark, a text that may be cut, and facts, of which those that do not fit are left out.
type row struct {
	limb, mark, text string
	facts            []string
}

// rows draws the tree in at most limit lines: what runs comes first, then what changed last, and of the rest only how many there are. Those
// shown keep the order of the run, so that they do not jump about.
func (t *tree) rows(s style, limit, frame int, now time.Time) []row {
	if len(t.stages) < 2 {
		var rows []row
		for _, b := range t.stages {
			if b.running {
				rows = append(rows, b.row(s, "", frame, now, t.over))
			}
		}
		return rows
	}
	took := now.Sub(t.started)
	rows := []row{{"", "", fmt.Sprintf("%s  %d of %d stages done", t.name, t.finished, len(t.stages)), []string{seconds(took), cost(t.totals)}}}
	shown := t.shown(limit)
	for i, b := range shown {
		limb := "├"
		if i == len(shown)-1 && len(shown) == len(t.stages) {
			limb = "└"
		}
		rows = append(rows, b.row(s, limb, frame, now, t.over))
	}
	if rest := len(t.stages) - len(shown); rest > 0 {
		rows = append(rows, row{"└", " ", fmt.Sprintf("… and %d more", rest), nil})
	}
	return rows
}

// shown picks the stages that are worth their lines.
func (t *tree) shown(limit int) []*branch {
	if len(t.stages) <= limit {
		return t.stages
	}
	rank := func(b *branch) int {
		switch {
		case b.running:
			return 2
		case b.status != "":
			return 1
		}
		return 0
	}
	best := slices.Clone(t.stages)
	slices.SortStableFunc(best, func(a, b *branch) int {
		if r := rank(b) - rank(a); r != 0 {
			return r
		}
		return b.changed - a.changed
	})
	picked := map[*branch]bool{}
	for _, b := range best[:limit] {
		picked[b] = true
	}
	return slices.DeleteFunc(slices.Clone(t.stages), func(b *branch) bool { return !picked[b] })
}

func (b *branch) row(s style, limb string, frame int, now time.Time, over bool) row {
	text := b.id
	if b.step != "" {
		text += "  " + b.step
	}
	switch {
	case b.running:
		return row{limb, s.accent(frames[frame%len(frames)]), text, []string{seconds(now.Sub(b.started)), cost(b.totals)}}
	case b.status == "" && over:
		return row{limb, s.dim("·"), b.id + "  not started", nil}
	case b.status == "":
		return row{limb, s.dim("·"), b.id + "  waits", nil}
	case b.status == event.Skipped:
		return row{limb, s.dim("–"), text, nil}
	}
	return row{limb, s.mark(b.status), text, []string{seconds(b.took), cost(b.totals)}}
}

// fit cuts a row to a width, and returns how many columns it takes.
func (r row) fit(s style, width int) (line string, columns int) {
	left, indent := "", 0
	for _, part := range []string{s.dim(r.limb), r.mark} {
		if part != "" {
			left, indent = left+part+" ", indent+2
		}
	}
	right := ""
	for _, fact := range r.facts {
		if longer := right + fact; len([]rune(longer)) <= min(width/2+8, width-indent-3) {
			right = longer
		}
	}
	room := width - len([]rune(right)) - indent - 2
	text := shorten(strings.ReplaceAll(clean(r.text), "\n", " "), max(room, 1))
	return left + text + "  " + s.dim(right), indent + len([]rune(text)) + 2 + len([]rune(right))
}
