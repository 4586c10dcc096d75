package view

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
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
	mu       sync.Mutex
	out      io.Writer
	width    func() int
	now      func() time.Time
	writer   writer
	active   map[string]*activity
	started  time.Time
	stages   int // of the run
	finished int
	totals   event.Totals
	frame    int
	drawn    []int // columns of each line of the footer on the screen
	midline  bool  // a main process has begun a line that it did not end yet: a footer would break it
	stop     chan struct{}
	done     chan struct{}
}

// activity is one line of the footer.
type activity struct {
	name    string
	step    string
	started time.Time
	totals  event.Totals
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
	l.writer = writer{style: style{colour}, columns: width, stdout: stdout, emit: func(line string) { fmt.Fprint(l.out, line, "\n") }}
	return l
}

// Event writes the event's lines and draws the footer anew.
func (l *Live) Event(e event.Event) {
	l.above(func() {
		l.writer.event(e)
		l.note(e)
	})
}

// Write lets others speak, such as logs, without breaking the footer. p should be whole lines.
func (l *Live) Write(p []byte) (n int, err error) {
	l.above(func() { n, err = l.out.Write(p) })
	return n, err
}

// above does what writes lines while the footer is away.
func (l *Live) above(write func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	io.WriteString(l.out, l.erased())
	write()
	io.WriteString(l.out, l.footer())
}

// Close takes the footer away.
func (l *Live) Close() {
	close(l.stop)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	io.WriteString(l.out, l.erased())
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
			io.WriteString(l.out, l.erased()+l.footer()) // in one piece, so that it does not flicker
			l.mu.Unlock()
		}
	}
}

// note keeps the footer's facts.
func (l *Live) note(e event.Event) {
	switch d := e.Data.(type) {
	case event.RunStarted:
		l.stages, l.started = len(d.Stages), l.now()
	case event.StageStarted:
		l.active[e.Stage] = &activity{name: e.Stage, step: "starting", started: l.now()}
	case event.SandboxProgress:
		if words := stepWords(d.Step); words != "" {
			l.step(e.Stage, words)
		}
	case event.SandboxReady:
		l.step(e.Stage, "running")
	case event.Output:
		if d.Stream == "stdout" {
			l.midline = d.Text != "" && !strings.HasSuffix(d.Text, "\n")
		}
	case event.AgentStarted:
		l.step(e.Stage, "thinking")
	case event.ToolCall:
		l.step(e.Stage, d.Tool+" "+summary(d))
	case event.ToolResult:
		l.step(e.Stage, "thinking")
	case event.Text:
		if !d.Partial && !d.Thinking {
			l.step(e.Stage, "finishing") // unless a tool call follows, which says so itself
		}
	case event.Usage:
		l.totals = l.totals.Add(d.Totals)
		if a := l.active[e.Stage]; a != nil {
			a.totals = a.totals.Add(d.Totals)
		}
	case event.StageFinished:
		l.finished++
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

// erased returns what takes the footer from the screen. A terminal that became narrower since has wrapped its lines.
func (l *Live) erased() string {
	rows, width := 0, max(l.width(), 1)
	for _, columns := range l.drawn {
		rows += max((columns+width-1)/width, 1)
	}
	l.drawn = nil
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", rows) // cursor up, erase to the end of the screen
}

// footer returns one line for each running stage and, where there are several stages, one for the run. The terminal's own
// wrapping is off meanwhile: wide characters may take more columns than were counted.
func (l *Live) footer() string {
	if len(l.active) == 0 || l.midline {
		return ""
	}
	var b strings.Builder
	b.WriteString("\x1b[?7l")
	for i, a := range l.inOrder() {
		if i == footerMax {
			l.footerLine(&b, " ", fmt.Sprintf("… and %d more", len(l.active)-i))
			break
		}
		l.footerLine(&b, frames[l.frame%len(frames)], a.name+"  "+a.step, seconds(l.now().Sub(a.started)), cost(a.totals))
	}
	if l.stages > 1 {
		l.footerLine(&b, " ", fmt.Sprintf("%d of %d stages done", l.finished, l.stages), seconds(l.now().Sub(l.started)), cost(l.totals))
	}
	b.WriteString("\x1b[?7h")
	return b.String()
}

func (l *Live) inOrder() []*activity {
	stages := slices.Collect(maps.Values(l.active))
	slices.SortFunc(stages, func(a, b *activity) int { return cmp.Compare(a.name, b.name) })
	return stages
}

// footerLine adds a line that fits the terminal: a mark, a text that is cut, and as many of the facts as leave it half the width.
func (l *Live) footerLine(b *strings.Builder, mark, text string, facts ...string) {
	width := l.width() - 1
	right := ""
	for _, fact := range facts {
		if longer := right + fact; len([]rune(longer)) <= min(width/2+8, width-5) {
			right = longer
		}
	}
	room := width - len([]rune(right)) - 4
	text = shorten(strings.ReplaceAll(clean(text), "\n", " "), max(room, 1))
	b.WriteString(l.writer.style.accent(mark) + " " + text + "  " + l.writer.style.dim(right) + "\n")
	l.drawn = append(l.drawn, len([]rune(text))+len([]rune(right))+4)
}
