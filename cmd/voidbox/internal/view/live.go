package view

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
)

// tick is the time between two frames. Nothing is drawn more often, however much happens.
const tick = 100 * time.Millisecond

// Live is a sink for a terminal: lines scroll by above a footer that shows the run as a tree of its stages. When the run is over, the tree
// of a pipeline stays on the screen.
type Live struct {
	mu      sync.Mutex
	out     io.Writer
	size    func() (columns, rows int)
	now     func() time.Time
	writer  writer
	tree    tree
	frame   int
	pending strings.Builder // lines that are not on the screen yet
	last    time.Time       // of the last drawing
	drawn   []int           // columns of each line of the footer on the screen
	held    bool            // somebody else has the screen
	midline bool            // a main process has begun a line that it did not end yet: a footer would break it
	stop    chan struct{}
	done    chan struct{}
}

// NewLive draws on w, a terminal whose size is asked for at each drawing, and passes a main process's standard output to stdout, which
// must be clean when it is that terminal too (see Clean). Close it to get the screen back.
func NewLive(w, stdout io.Writer, size func() (columns, rows int), colour bool) *Live {
	l := newLive(w, stdout, size, colour, time.Now)
	go l.animate()
	return l
}

func newLive(w, stdout io.Writer, size func() (columns, rows int), colour bool, now func() time.Time) *Live {
	l := &Live{out: w, size: size, now: now, stop: make(chan struct{}), done: make(chan struct{})}
	l.writer = writer{
		style: style{colour}, columns: func() int { columns, _ := size(); return columns }, stdout: stdout,
		emit: func(line string) { l.pending.WriteString(line + "\n") },
	}
	return l
}

// Event takes an event. Its lines are on the screen a tick later at the latest.
func (l *Live) Event(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.tree.note(e, now)
	switch d := e.Data.(type) {
	case event.Output:
		if d.Stream == "stdout" {
			l.draw(false) // it is written past pending
			l.midline = d.Text != "" && !strings.HasSuffix(d.Text, "\n")
		}
	case event.RunFinished:
		l.final(now)
	}
	l.writer.event(e)
	if l.tree.over || now.Sub(l.last) >= tick {
		l.draw(true)
	}
}

// Write lets others speak, such as logs, without breaking the footer. p should be whole lines.
func (l *Live) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending.Write(p)
	return len(p), l.draw(true)
}

// Hold takes the footer away and draws nothing until Release, so that somebody else can have the screen.
func (l *Live) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.draw(false)
	l.held = true
}

// Release undoes Hold, and shows what has happened meanwhile.
func (l *Live) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	_ = l.draw(true)
}

// Close takes the footer away.
func (l *Live) Close() {
	close(l.stop)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.draw(false) // a screen that is gone needs no tidying
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
			_ = l.draw(true)
			l.mu.Unlock()
		}
	}
}

// draw brings the screen up to date, in one write, so that it does not flicker.
func (l *Live) draw(footer bool) error {
	if l.held {
		return nil
	}
	text := l.erased() + l.pending.String()
	l.pending.Reset()
	if footer {
		text += l.footer()
	}
	l.last = l.now()
	if text == "" {
		return nil
	}
	_, err := io.WriteString(l.out, text)
	return err
}

// erased returns what takes the footer from the screen. A terminal that became narrower since has wrapped its lines.
func (l *Live) erased() string {
	columns, _ := l.size()
	rows, width := 0, max(columns, 1)
	for _, columns := range l.drawn {
		rows += max((columns+width-1)/width, 1)
	}
	l.drawn = nil
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", rows) // cursor up, erase to the end of the screen
}

// footer returns the tree. The terminal's own wrapping is off meanwhile: wide characters may take more columns than were counted.
func (l *Live) footer() string {
	if l.midline || !l.tree.active() {
		return ""
	}
	columns, rows := l.size()
	var b strings.Builder
	b.WriteString("\x1b[?7l")
	for _, r := range l.tree.rows(l.writer.style, min(max(rows/2, treeMin), treeMax), l.frame, l.now()) {
		line, taken := r.fit(l.writer.style, columns-1)
		b.WriteString(line + "\n")
		l.drawn = append(l.drawn, taken)
	}
	b.WriteString("\x1b[?7h")
	return b.String()
}

// final leaves the tree of a pipeline behind, above the run's last line.
func (l *Live) final(now time.Time) {
	if len(l.tree.stages) < 2 {
		return
	}
	columns, _ := l.size()
	for _, r := range l.tree.rows(l.writer.style, finalMax, l.frame, now) {
		line, _ := r.fit(l.writer.style, columns-1)
		l.writer.emit(strings.TrimRight(line, " "))
	}
}
