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

	looker  looker
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

// Worker is who waits.
type Worker interface {
	// Pending tells whether there is something to do that no descriptor announces. It is asked again and again.
	Pending() bool
	// Arm has descriptors of the poller's, or Wake, announce that from here on. It returns false if there is something to do already.
	Arm() bool
	// Idle is called once there was nothing to do for a millisecond, before it becomes a long wait.
	Idle()
}

// Wait returns events, or none. It waits for some unless w is busy. Whoever always finds something to do is kept from the processor for a
// moment once a millisecond, if others need it.
func (p *Poller) Wait(events []unix.EpollEvent, w Worker, busy bool) (n int, err error) {
	if p.closed.Load() {
		return 0, ErrClosed
	}
	if !p.ticking {
		p.ticking, p.moved = true, false
		if err := unix.TimerfdSettime(p.clock, 0, &once, nil); err != nil {
			return 0, err
		}
	}
	if busy {
		n, err = wait(p.fd, events, 0)
	} else if n, busy, err = p.look(events, w); n == 0 && !busy && err == nil {
		n, busy, err = p.sleep(events, w)
		p.looker.slept(time.Now())
		defer p.asleep.Store(false)
	}
	if err != nil {
		return 0, err
	}
	p.moved = p.moved || busy
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
	return p.rest(events, w)
}

// sleep waits until something is announced, or the tick. busy says that there was something to do.
func (p *Poller) sleep(events []unix.EpollEvent, w Worker) (n int, busy bool, err error) {
	p.asleep.Store(true)
	busy = !w.Arm()
	timeout := forever
	if busy {
		timeout = 0
	}
	n, err = wait(p.fd, events, timeout)
	return n, busy, err
}

// rest waits for as long as it takes.
func (p *Poller) rest(events []unix.EpollEvent, w Worker) (int, error) {
	defer p.asleep.Store(false)
	p.asleep.Store(true)
	if !w.Arm() {
		return 0, nil
	}
	if n, err := wait(p.fd, events, 0); n > 0 || err != nil {
		return n, err
	}
	w.Idle()
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
