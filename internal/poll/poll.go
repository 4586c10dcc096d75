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

// tick is how long Wait keeps its processor when nothing comes, and how long others are kept from it when something does.
const tick = time.Millisecond

// ErrClosed says that the poller was closed.
var ErrClosed = errors.New("the poller is closed")

// Poller waits for descriptors. One goroutine calls Wait; Wake and Close are for any.
type Poller struct {
	epoll *os.File
	raw   syscall.RawConn
	fd    int
	wake  int // eventfd
	clock int // timerfd; nobody reads these two, since they are edge-triggered

	ticking bool // the clock runs
	moved   bool // since it does, there was something to do
	asleep  atomic.Bool
	closed  atomic.Bool
}

// New makes a poller that waits for nothing yet.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	_ = unix.SetNonblock(fd, true) // else os takes it for a file without a poller
	p := &Poller{epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd, wake: -1, clock: -1}
	if err := p.setUp(); err != nil {
		p.Free()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return p, nil
}

func (p *Poller) setUp() (err error) {
	if p.raw, err = p.epoll.SyscallConn(); err != nil {
		return err
	}
	if p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if p.clock, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	return errors.Join(p.Add(p.wake, unix.EPOLLIN, 0), p.Add(p.clock, unix.EPOLLIN, 0))
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
	if p.closed.Load() {
		return 0, ErrClosed
	}
	if !p.ticking {
		p.ticking, p.moved = true, false
		if err := unix.TimerfdSettime(p.clock, 0, &once, nil); err != nil {
			return 0, err
		}
	}
	timeout := 0
	if block {
		timeout = forever
	}
	n, err := wait(p.fd, events, timeout)
	if err != nil {
		return 0, err
	}
	p.moved = p.moved || !block
	for i := range n {
		switch events[i].Fd {
		case int32(p.clock):
			p.ticking = false
		case int32(p.wake): // may be what yield left
		default:
			p.moved = true
		}
	}
	switch {
	case p.ticking:
		return n, nil
	case p.moved:
		return n, p.yield()
	case n > 1: // somebody has called Wake
		return n, nil
	}
	idle()
	return p.park(events)
}

// once is one tick, without a timeout for each wait, which would set the processor's timer twice for each packet.
var once = unix.ItimerSpec{Value: unix.NsecToTimespec(int64(tick))}

// forever is the timeout of a wait that ends with an event.
const forever = -1

// park waits as goroutines do.
func (p *Poller) park(events []unix.EpollEvent) (n int, err error) {
	parked := p.raw.Read(func(uintptr) bool {
		n, err = wait(p.fd, events, 0)
		return n > 0 || err != nil
	})
	return n, errors.Join(err, parked)
}

// yield parks with an event at hand, so that it takes as long as others need the processor.
func (p *Poller) yield() error {
	first := true
	return p.raw.Read(func(uintptr) bool {
		if first {
			first = false
			p.poke()
			return false
		}
		return true
	})
}

// Close ends Wait, now and for good.
func (p *Poller) Close() {
	p.closed.Store(true)
	p.poke()
}

// Free gives back what the poller is made of, once nobody uses it any more.
func (p *Poller) Free() {
	_ = p.epoll.Close()
	for _, fd := range []int{p.wake, p.clock} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
