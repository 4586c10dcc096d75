package plugintest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func onTerminal(cmd sandbox.Command) sandbox.Command {
	cmd.Pty = &sandbox.Pty{Size: sandbox.WindowSize{Rows: 40, Cols: 100}}
	return cmd
}

// plain drops what a terminal adds to the ends of lines.
func plain(s string) string { return strings.ReplaceAll(s, "\r", "") }

var ptyCases = []sandboxCase{
	{"without it there is no terminal", func(s *session) {
		equalText(s, "output", s.sh("test -t 0 || echo no; test -t 1 || echo no"), "no\nno\n")
	}},
	{"with it all three are terminals", func(s *session) {
		r := s.exec(onTerminal(shell("test -t 0 && test -t 1 && test -t 2 && echo yes; exit 3")))
		equalText(s, "output", plain(r.stdout), "yes\n")
		equal(s, "exit code", r.exit.Code, 3)
	}},
	{"errors arrive as output, lines end as on a terminal", func(s *session) {
		r := s.exec(onTerminal(shell("echo out; echo err >&2")))
		equalText(s, "stdout", r.stdout, "out\r\nerr\r\n")
		equalText(s, "stderr", r.stderr, "")
	}},
	{"kind of terminal", func(s *session) {
		cmd := onTerminal(shell("echo $TERM"))
		equalText(s, "default", plain(s.exec(cmd).stdout), "xterm-256color\n")
		cmd.Pty.Term = "vt100"
		equalText(s, "given", plain(s.exec(cmd).stdout), "vt100\n")
	}},
	{"input is echoed", func(s *session) {
		t := startTerminal(s, sandbox.Command{Args: []string{"cat"}})
		t.send("hello\n")
		t.until("hello\nhello\n") // the echo, then what cat wrote
		t.send("\x04")
		equal(s, "exit code", t.wait().Code, 0)
	}},
	{"a shell reads lines", func(s *session) {
		t := startTerminal(s, shell("read x; echo \"<$x>\""))
		t.send("abc\n")
		t.until("<abc>\n")
		equal(s, "exit code", t.wait().Code, 0)
	}},
	{"^C interrupts", func(s *session) {
		// With exec, since dash loses an interrupt that comes while it forks.
		t := startTerminal(s, shell("echo ready; exec sleep 1000"))
		t.until("ready\n")
		t.send("\x03")
		equal(s, "exit code", t.wait().Code, 130)
	}},
	{"resize", func(s *session) {
		size := sandbox.Control{Resize: &sandbox.WindowSize{Rows: 33, Cols: 77}}
		if !s.has(sandbox.CapPtyResize) {
			control := make(chan sandbox.Control, 1)
			control <- size
			err := s.execError(onTerminal(sandbox.Command{Args: []string{"sleep", "1000"}}), sandbox.IO{Control: control})
			s.wantError(err, errdef.ErrUnsupported)
			return
		}
		t := startTerminal(s, shell("n=0; stty size; while read x; do n=$((n+1)); echo \"$(stty size) line $n.\"; done"))
		t.until("40 100\n")
		t.control <- size
		// Sizes and input travel apart from each other, so lines are sent until one is read after the size has come.
		for line := 1; !strings.Contains(t.screen(), "33 77"); line++ {
			t.send("\n")
			t.until(fmt.Sprintf(" line %d.\n", line))
		}
		t.send("\x04")
		equal(s, "exit code", t.wait().Code, 0)
	}},
}

// terminal is a command on a pseudo-terminal.
type terminal struct {
	s       *session
	stdin   *io.PipeWriter
	control chan sandbox.Control
	exit    sandbox.Exit
	err     error
	done    chan struct{}

	mu      sync.Mutex
	changed *sync.Cond
	seen    bytes.Buffer
}

func startTerminal(s *session, cmd sandbox.Command) *terminal {
	reader, writer := io.Pipe()
	t := &terminal{s: s, stdin: writer, control: make(chan sandbox.Control), done: make(chan struct{})}
	t.changed = sync.NewCond(&t.mu)
	go func() {
		defer close(t.done)
		t.exit, t.err = s.Exec(s.ctx, onTerminal(cmd), sandbox.IO{Stdin: reader, Stdout: writerFunc(t.write), Control: t.control})
		reader.Close()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.changed.Broadcast()
	}()
	context.AfterFunc(s.ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.changed.Broadcast()
	})
	return t
}

func (t *terminal) write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed.Broadcast()
	return t.seen.Write(b)
}

func (t *terminal) send(text string) {
	t.s.Helper()
	if _, err := io.WriteString(t.stdin, text); err != nil {
		t.s.Fatalf("send %q: %v", text, err)
	}
}

func (t *terminal) screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return plain(t.seen.String())
}

// until waits for text on the screen.
func (t *terminal) until(text string) {
	t.s.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for !strings.Contains(plain(t.seen.String()), text) {
		select {
		case <-t.done:
			t.s.Fatalf("ended with %+v, %v before %q; screen: %q", t.exit, t.err, text, t.seen.String())
		default:
		}
		if t.s.ctx.Err() != nil {
			t.s.Fatalf("waited in vain for %q; screen: %q", text, t.seen.String())
		}
		t.changed.Wait()
	}
}

func (t *terminal) wait() sandbox.Exit {
	t.s.Helper()
	<-t.done
	t.s.must(t.err)
	return t.exit
}
