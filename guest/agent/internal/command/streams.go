package command

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/pty"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// streams are the wires of one command.
type streams struct {
	child    [3]uintptr // descriptors for the command
	own      []int      // those of child to close once it runs
	terminal *pty.Terminal
	input    *os.File // write end of standard input; nil without
	stdin    io.Reader
	outlets  []*outlet
}

// connect makes the descriptors that a command starts with.
func (r *Runner) connect(p *plan, stdio sandbox.IO) (*streams, error) {
	s := &streams{stdin: stdio.Stdin}
	null := r.null.Fd()
	s.child = [3]uintptr{null, null, null}
	var err error
	if p.pty != nil {
		err = s.connectTerminal(p, stdio)
	} else {
		err = s.connectPipes(stdio)
	}
	if err != nil {
		s.started()
		s.abandon()
		return nil, err
	}
	return s, nil
}

func (s *streams) connectTerminal(p *plan, stdio sandbox.IO) error {
	terminal, peer, err := pty.Open(p.pty.Size.Rows, p.pty.Size.Cols, p.user.UID, p.user.GID)
	if err != nil {
		return err
	}
	defer peer.Close()
	fd, err := unix.FcntlInt(peer.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		_ = terminal.Close()
		return err
	}
	s.own = append(s.own, fd)
	s.child = [3]uintptr{uintptr(fd), uintptr(fd), uintptr(fd)}
	s.terminal = terminal
	s.outlets = append(s.outlets, newOutlet(terminal.File, stdio.Stdout))
	return nil
}

func (s *streams) connectPipes(stdio sandbox.IO) error {
	if stdio.Stdin != nil {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			return err
		}
		s.child[0], s.own = uintptr(fds[0]), append(s.own, fds[0])
		s.input = pollable(fds[1], "stdin")
	}
	for i, w := range []io.Writer{stdio.Stdout, stdio.Stderr} {
		if w == nil {
			continue
		}
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			return err
		}
		s.child[1+i], s.own = uintptr(fds[1]), append(s.own, fds[1])
		s.outlets = append(s.outlets, newOutlet(pollable(fds[0], "output"), w))
	}
	return nil
}

// pollable wraps the agent's end of a pipe, for which no thread has to wait. Only this end does not block.
func pollable(fd int, name string) *os.File {
	_ = unix.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), name)
}

// started closes the command's ends, whether it has started or not.
func (s *streams) started() {
	for _, fd := range s.own {
		_ = unix.Close(fd)
	}
	s.own = nil
}

// abandon closes the agent's ends of a command that did not start.
func (s *streams) abandon() {
	if s.input != nil {
		_ = s.input.Close()
	}
	for _, o := range s.outlets {
		_ = o.r.Close()
	}
}

// begin moves bytes. The goroutine that feeds standard input ends with the reader that it was given, which may be after the
// command: the caller owns that reader.
func (s *streams) begin() {
	for _, o := range s.outlets {
		go o.copy()
	}
	switch {
	case s.terminal != nil:
		go s.typeInput()
	case s.input != nil:
		go s.feedInput()
	}
}

func (s *streams) feedInput() {
	_, _ = io.Copy(onlyWriter{s.input}, s.stdin)
	_ = s.input.Close()
}

func (s *streams) typeInput() {
	last := lastByte{w: s.terminal}
	if s.stdin != nil {
		if _, err := io.Copy(&last, s.stdin); err != nil {
			return
		}
	}
	_ = s.terminal.EndOfInput(last.wrote && last.b != '\n' && last.b != '\r')
}

// finish returns once all output of an ended command is delivered. Outputs that something holds open for longer than linger
// go to left.
func (s *streams) finish(linger time.Duration, left *leftovers) {
	if s.input != nil {
		_ = s.input.Close()
	}
	for _, o := range s.outlets {
		_ = o.r.SetReadDeadline(time.Now().Add(linger))
	}
	for _, o := range s.outlets {
		<-o.done
		if o.eof {
			_ = o.r.Close()
			continue
		}
		left.adopt(o.r)
	}
}

// outlet carries one output of a command.
type outlet struct {
	r    *os.File
	w    io.Writer
	eof  bool // valid once done is closed
	done chan struct{}
}

func newOutlet(r *os.File, w io.Writer) *outlet {
	if w == nil {
		w = io.Discard
	}
	return &outlet{r: r, w: w, done: make(chan struct{})}
}

const chunkSize = 32 << 10

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// copy moves output until its end, or until the deadline that finish sets. A terminal that nobody holds any more answers
// EIO.
func (o *outlet) copy() {
	defer close(o.done)
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	for {
		n, err := o.r.Read(chunk[:])
		o.deliver(chunk[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.eof = o.copyRest(chunk[:])
			return
		}
		if err != nil {
			o.eof = true
			return
		}
	}
}

// copyRest moves what is there at this moment, which is bounded even if somebody goes on writing.
func (o *outlet) copyRest(chunk []byte) (eof bool) {
	_ = o.r.SetReadDeadline(time.Time{})
	raw, err := o.r.SyscallConn()
	if err != nil {
		return true
	}
	rest := 0
	_ = raw.Control(func(fd uintptr) { rest, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	for {
		n, err := readNow(raw, chunk)
		if n <= 0 {
			return !errors.Is(err, unix.EAGAIN)
		}
		o.deliver(chunk[:n])
		if rest -= n; rest <= 0 {
			return false
		}
	}
}

// readNow reads without waiting.
func readNow(raw syscall.RawConn, p []byte) (n int, err error) {
	failed := raw.Read(func(fd uintptr) bool {
		n, err = unix.Read(int(fd), p)
		return true
	})
	return n, errors.Join(failed, err)
}

// deliver passes output on. A receiver that fails gets no more, and the command is not disturbed.
func (o *outlet) deliver(p []byte) {
	if len(p) == 0 {
		return
	}
	if _, err := o.w.Write(p); err != nil {
		o.w = io.Discard
	}
}

// onlyWriter hides ReadFrom, behind which a pipe would try splice first.
type onlyWriter struct{ io.Writer }

type lastByte struct {
	w     io.Writer
	b     byte
	wrote bool
}

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.b, l.wrote = p[len(p)-1], true
	}
	return l.w.Write(p)
}
