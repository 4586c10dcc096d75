//go:build linux

package poll

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hold is how long Wait keeps its processor, and how long it is kept from others.
const hold = time.Millisecond

// ErrClosed says that the poller was closed.
var ErrClosed = errors.New("the poller is closed")

// Poller waits for descriptors. One goroutine calls Wait; Wake and Close are for any.
type Poller struct {
	epoll  *os.File
	raw    syscall.RawConn
	fd     int
	wake   int // eventfd, edge-triggered and never read
	parked time.Time
	asleep atomic.Bool
	closed atomic.Bool
}

// New makes a poller that waits for nothing yet.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	_ = unix.SetNonblock(fd, true) // else os takes it for a file without a poller
	p := &Poller{epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd, parked: time.Now()}
	if p.raw, err = p.epoll.SyscallConn(); err == nil {
		p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err != nil {
		_ = p.epoll.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := p.Add(p.wake, unix.EPOLLIN, 0); err != nil {
		p.Free()
		return nil, err
	}
	return p, nil
}

// Add has Wait return fd's events, each time one begins (edge-triggered), with tag in the Pad of the event. A descriptor that is closed is
// forgotten.
func (p *Poller) Add(fd int, events uint32, tag int32) error {
	e := unix.EpollEvent{Events: events | unix.EPOLLET, Fd: int32(fd), Pad: tag}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// Remove forgets fd.
func (p *Poller) Remove(fd int) { _ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// Wake has Wait return, or the next one if there is none that sleeps. It costs nothing unless one does.
func (p *Poller) Wake() {
	if p.asleep.Load() {
		p.poke()
	}
}

func (p *Poller) poke() {
	one := [8]byte{1}
	_, _ = unix.Write(p.wake, one[:])
}

// Sleepy says that the caller is about to Wait: what it finds to do from here on was there before, or comes with a Wake.
func (p *Poller) Sleepy() { p.asleep.Store(true) }

// Wait returns events, or none. It waits for some if block is set, for which the caller has to have looked for something to do since
// Sleepy; idle is called once that has taken a millisecond, before it becomes a long wait. Whoever always finds something to do is kept
// from the processor for a moment once a millisecond, if others need it.
func (p *Poller) Wait(events []unix.EpollEvent, block bool, idle func()) (int, error) {
	defer p.asleep.Store(false)
	switch {
	case p.closed.Load():
		return 0, ErrClosed
	case time.Since(p.parked) > hold:
		return p.yield(events)
	case !block:
		return wait(p.fd, events, 0)
	}
	n, err := wait(p.fd, events, hold)
	if n > 0 || err != nil {
		return n, err
	}
	idle()
	return p.park(events)
}

// park waits as goroutines do.
func (p *Poller) park(events []unix.EpollEvent) (n int, err error) {
	parked := p.raw.Read(func(uintptr) bool {
		n, err = wait(p.fd, events, 0)
		return n > 0 || err != nil
	})
	p.parked = time.Now()
	return n, errors.Join(err, parked)
}

// yield is park with an event at hand, so that it takes as long as others need the processor.
func (p *Poller) yield(events []unix.EpollEvent) (n int, err error) {
	first := true
	parked := p.raw.Read(func(uintptr) bool {
		if first {
			first = false
			p.poke()
			return false
		}
		n, err = wait(p.fd, events, 0)
		return true
	})
	p.parked = time.Now()
	return n, errors.Join(err, parked)
}

// Close ends Wait, now and for good.
func (p *Poller) Close() {
	p.closed.Store(true)
	p.poke()
}

// Free gives back what the poller is made of, once nobody uses it any more.
func (p *Poller) Free() {
	_ = p.epoll.Close()
	_ = unix.Close(p.wake)
}
