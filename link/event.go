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
//
// The eventfd itself is not in the runtime's poller, which asks for everything that happens to a file: this end would be woken
// by its own signal, and whenever the peer takes one. An epoll instance in between asks for signals only, where this end waits.
type event struct {
	counter int // the eventfd
	ready   atomic.Pointer[os.File]
	raw     syscall.RawConn // of ready

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
	return &event{counter: fd}, nil
}

// prepareWaits makes what an end waits with, for the events that it waits for: records of the ring that it reads, and room in the
// one that it writes.
func prepareWaits(events []*event, device bool) error {
	for i, e := range events {
		up, room := i%eventsPerLane < eventsPerLane/2, i%2 == 1
		if (up == device) != room {
			continue
		}
		if err := e.prepare(); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes what this end waits with.
func (e *event) prepare() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	err = unix.SetNonblock(fd, true) // else os takes it for a file without a poller
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, e.counter, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(e.counter)})
	}
	if err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("epoll: %w", err)
	}
	f := os.NewFile(uintptr(fd), "link event")
	if e.raw, err = f.SyscallConn(); err != nil {
		_ = f.Close()
		return fmt.Errorf("epoll: %w", err)
	}
	e.take = e.tryTake
	e.ready.Store(f)
	return nil
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
func (e *event) fd(f func(fd uintptr)) { f(uintptr(e.counter)) }

// signal adds one. A full counter has been signalled anyway.
func (e *event) signal() {
	e.signalling.Store(true)
	addOne(uintptr(e.counter))
	e.signalling.Store(false)
}

// unblock ends a signal that the peer holds up, by emptying the counter.
func (e *event) unblock() {
	for e.signalling.Load() {
		_, _ = takeCounter(uintptr(e.counter))
		time.Sleep(10 * time.Microsecond)
	}
}

func (e *event) tryTake(uintptr) bool {
	_, errno := takeCounter(uintptr(e.counter))
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
		_ = e.ready.Load().SetReadDeadline(time.Time{})
		return nil // and whoever waits in a loop finds a link that went down in between
	}
	return fmt.Errorf("link event: %w", err)
}

// watch makes the end of ctx interrupt waits, until there is another. Waits with the same context then cost nothing.
func (e *event) watch(ctx context.Context, done <-chan struct{}) {
	if e.forget != nil {
		e.forget()
		e.forget = nil
		_ = e.ready.Load().SetReadDeadline(time.Time{})
	}
	e.done = done
	if done != nil {
		e.forget = context.AfterFunc(ctx, e.interrupt)
	}
}

// interrupt ends the present wait and all later ones.
func (e *event) interrupt() {
	if f := e.ready.Load(); f != nil {
		_ = f.SetReadDeadline(time.Unix(1, 0))
	}
}

func (e *event) close() {
	if e.forget != nil {
		e.forget()
	}
	if f := e.ready.Load(); f != nil {
		_ = f.Close()
	}
	_ = unix.Close(e.counter)
}
