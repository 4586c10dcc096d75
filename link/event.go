//go:build linux

package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// event is an eventfd that one end signals and the other waits for, through the runtime's poller (doc.go says why).
// The peer holds it too and may do with it what it wants, so nothing is concluded from a wake-up.
type event struct {
	file *os.File
	raw  syscall.RawConn

	// signalling is set around a write, which blocks if the peer has filled the counter and made the file blocking.
	signalling atomic.Bool

	// Of the one goroutine that waits: the context whose end interrupts it, and what undoes that.
	done   <-chan struct{}
	forget func() bool
	take   func(fd uintptr) bool
	bad    unix.Errno
}

// newEvent makes an eventfd; the descriptor in it is for the peer.
func newEvent() (*event, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return openEvent(fd)
}

// openEvent takes over fd, also when it fails.
func openEvent(fd int) (*event, error) {
	if err := checkEvent(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "link event")
	// A file that the poller does not take has no deadlines.
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("event descriptor: %w", err)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("event descriptor: %w", err)
	}
	e := &event{file: f, raw: raw}
	e.take = e.tryTake
	return e, nil
}

// checkEvent refuses what is no eventfd, for a write to another kind of file could block or do harm. Files without a
// type are the kernel's anonymous ones, and the few of these that let themselves be read at once refuse every write.
func checkEvent(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("event descriptor: %w", err)
	}
	if st.Mode&unix.S_IFMT != 0 {
		return errors.New("event descriptor is not an eventfd")
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("event descriptor: %w", err)
	}
	if n, errno := takeCounter(uintptr(fd)); errno != unix.EAGAIN && (errno != 0 || n != 8) {
		return fmt.Errorf("event descriptor is not an eventfd, or Linux is too old: %w", errno)
	}
	return nil
}

var one = binary.NativeEndian.AppendUint64(nil, 1)

func addOne(fd uintptr) { _, _ = unix.Write(int(fd), one) }

// fd calls f with the descriptor.
func (e *event) fd(f func(fd uintptr)) { _ = e.raw.Control(f) }

// signal adds one. A full counter has been signalled anyway.
func (e *event) signal() {
	e.signalling.Store(true)
	_ = e.raw.Control(addOne)
	e.signalling.Store(false)
}

// unblock ends a signal that the peer holds up, by emptying the counter.
func (e *event) unblock() {
	for e.signalling.Load() {
		_ = e.raw.Control(func(fd uintptr) { _, _ = takeCounter(fd) })
		time.Sleep(10 * time.Microsecond)
	}
}

func (e *event) tryTake(fd uintptr) bool {
	_, errno := takeCounter(fd)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return errno == unix.EINTR
	}
	e.bad = errno
	return true
}

// wait blocks until the event was signalled, the link went down or ctx ended; only the last is an error. It may also
// return for no reason. Only one goroutine waits at a time.
func (e *event) wait(ctx context.Context, l *Link) error {
	if done := ctx.Done(); done != e.done {
		e.watch(ctx, done)
		// interrupt may have come before the deadline was cleared.
		if l.isDown() {
			return nil
		}
	}
	err := e.raw.Read(e.take)
	if err == nil && e.bad != 0 {
		err = e.bad
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if l.isDown() {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// A context of an earlier wait ended late: ask for this one anew.
		e.done = nil
		_ = e.file.SetReadDeadline(time.Time{})
		return nil // and whoever waits in a loop finds a link that went down in between
	}
	return fmt.Errorf("link event: %w", err)
}

// watch makes the end of ctx interrupt waits, until there is another. Waits with the same context then cost nothing.
func (e *event) watch(ctx context.Context, done <-chan struct{}) {
	if e.forget != nil {
		e.forget()
		e.forget = nil
		_ = e.file.SetReadDeadline(time.Time{})
	}
	e.done = done
	if done != nil {
		e.forget = context.AfterFunc(ctx, e.interrupt)
	}
}

// interrupt ends the present wait and all later ones.
func (e *event) interrupt() { _ = e.file.SetReadDeadline(time.Unix(1, 0)) }

func (e *event) close() {
	if e.forget != nil {
		e.forget()
	}
	_ = e.file.Close()
}
