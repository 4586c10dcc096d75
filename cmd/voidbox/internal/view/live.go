package view

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
)

// frames of the spinner, one a tick.
var frames = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

const (
	tick      = 100 * time.Millisecond
	footerMax = 8 // stages shown at once
)

// Live is a sink for a terminal: lines scroll by above a footer that tells what each running stage does.
type Live struct {
	mu     sync.Mutex
	out    io.Writer
	width  func() int
	now    func() time.Time
	writer writer
	active map[string]*activity
	totals event.Totals
	frame  int
	drawn  int // lines of the footer on the screen
	stop   chan struct{}
	done   chan struct{}
}

// activity is one line of the footer.
type activity struct {
	name    string
	step    string
	started time.Time
}

// NewLive draws on w, a terminal whose width in columns is asked for at each drawing, and passes a main process's standard output
// to stdout, which must be clean when it is that terminal too (see Clean). Close it to get the screen back.
func NewLive(w, stdout io.Writer, width func() int, colour bool) *Live {
	l := newLive(w, stdout, width, colour, time.Now)
	go l.animate()
	return l
}

func newLive(w, stdout io.Writer, width func() int, colour bool, now func() time.Time) *Live {
	l := &Live{out: w, width: width, now: now, active: map[string]*activity{}, stop: make(chan struct{}), done: make(chan struct{})}
	l.writer = writer{style: style{colour}, stdout: stdout, emit: func(line string) { fmt.Fprint(l.out, line, "\n") }}
	return l
}

// Event writes the event's lines and draws the footer anew.
func (l *Live) Event(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
	l.writer.event(e)
	l.note(e)
	l.draw()
}

// Close takes the footer away.
func (l *Live) Close() {
	close(l.stop)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
}

func (l *Live) animate() {
	defer close(l.done)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
			l.mu.Lock()
			l.frame++
			l.erase()
			l.draw()
			l.mu.Unlock()
		}
	}
}

// note keeps the footer's facts.
func (l *Live) note(e event.Event) {
	switch d := e.Data.(type) {
	case event.StageStarted:
		l.active[e.Stage] = &activity{name: e.Stage, step: "starting", started: l.now()}
	case event.SandboxProgress:
		l.step(e.Stage, d.Step)
	case event.AgentStarted:
		l.step(e.Stage, "thinking")
	case event.ToolCall:
		l.step(e.Stage, d.Tool+" "+summary(d))
	case event.ToolResult:
		l.step(e.Stage, "thinking")
	case event.Usage:
		l.totals = l.totals.Add(d.Totals)
	case event.StageFinished:
		delete(l.active, e.Stage)
	case event.RunFinished:
		clear(l.active)
	}
}

func (l *Live) step(stage, step string) {
	if a := l.active[stage]; a != nil {
		a.step = step
	}
}

func (l *Live) erase() {
	if l.drawn > 0 {
		fmt.Fprintf(l.out, "\x1b[%dA\r\x1b[J", l.drawn) // cursor up, erase to the end of the screen
	}
	l.drawn = 0
}

func (l *Live) draw() {
	if len(l.active) == 0 {
		return
	}
	stages := make([]*activity, 0, len(l.active))
	for _, a := range l.active {
		stages = append(stages, a)
	}
	sort.Slice(stages, func(i, j int) bool { return stages[i].name < stages[j].name })
	var b strings.Builder
	for i, a := range stages {
		if i == footerMax {
			b.WriteString(l.writer.style.dim(fmt.Sprintf("  … and %d more", len(stages)-i)) + "\n")
			l.drawn++
			break
		}
		b.WriteString(l.footerLine(a) + "\n")
		l.drawn++
	}
	io.WriteString(l.out, b.String())
}

// footerLine must fit the terminal's width: a line that wraps cannot be erased by counting.
func (l *Live) footerLine(a *activity) string {
	right := seconds(l.now().Sub(a.started)) + cost(l.totals)
	room := max(l.width()-len([]rune(right))-6, 10)
	left := shorten(strings.ReplaceAll(clean(a.name+"  "+a.step), "\n", " "), room)
	return l.writer.style.accent(frames[l.frame%len(frames)]) + " " + left + "  " + l.writer.style.dim(right)
}
