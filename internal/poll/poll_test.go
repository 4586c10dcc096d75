//go:build linux

package poll

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newPoller(t *testing.T) *Poller {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	return p
}

func newEvent(t *testing.T) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// worker is a Worker of functions, each of which may be nil.
type worker struct {
	pending func() bool
	arm     func() bool
	idle    func()
}

func (w worker) Pending() bool { return w.pending != nil && w.pending() }
func (w worker) Arm() bool     { return w.arm == nil || w.arm() }
func (w worker) Idle() {
	if w.idle != nil {
		w.idle()
	}
}

func kick(t *testing.T, fd int) {
	t.Helper()
	if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Error(err)
	}
}

// await waits for an event of fd's.
func await(t *testing.T, p *Poller, fd int) unix.EpollEvent {
	t.Helper()
	var events [8]unix.EpollEvent
	for {
		n, err := p.Wait(events[:], worker{}, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events[:n] {
			if e.Fd == int32(fd) {
				return e
			}
		}
	}
}

func TestEachKickIsAnEvent(t *testing.T) {
	p, fd := newPoller(t), newEvent(t)
	if err := p.Add(fd, unix.EPOLLIN, 7); err != nil {
		t.Fatal(err)
	}
	for range 100 { // without anybody reading in between
		kick(t, fd)
		if e := await(t, p, fd); e.Pad != 7 || e.Events != unix.EPOLLIN {
			t.Fatalf("event %+v", e)
		}
	}
}

// Events come at any time: before the wait, while it holds its processor, and after it has parked.
func TestNoEventIsLost(t *testing.T) {
	p, fd, back := newPoller(t), newEvent(t), make(chan struct{})
	if err := p.Add(fd, unix.EPOLLIN, 0); err != nil {
		t.Fatal(err)
	}
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range 2000 {
			for range i % 50 {
				runtime.Gosched()
			}
			kick(t, fd)
			<-back
		}
	})
	for range 2000 {
		await(t, p, fd)
		back <- struct{}{}
	}
	sender.Wait()
}

func TestWakeEndsAWait(t *testing.T) {
	p := newPoller(t)
	var asked, done atomic.Int64
	var waker sync.WaitGroup
	waker.Go(func() {
		for done.Load() < 1000 {
			asked.Add(1) // something to do
			p.Wake()
			runtime.Gosched()
		}
	})
	var events [8]unix.EpollEvent
	work := func() bool { return asked.Load() > done.Load() }
	for done.Load() < 1000 {
		if _, err := p.Wait(events[:], worker{pending: work, arm: func() bool { return !work() }}, work()); err != nil {
			t.Fatal(err)
		}
		if asked.Load() > done.Load() {
			done.Add(1)
		}
	}
	waker.Wait()
}

// Even the only processor is shared with others by somebody who never waits for long.
func TestOthersGetTheProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p := newPoller(t)
	fds := [2]int{}
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	var came atomic.Bool
	var other sync.WaitGroup
	other.Go(func() { // waits by the runtime's poller
		defer came.Store(true)
		q, err := New()
		if err != nil {
			t.Error(err)
			return
		}
		defer q.Free()
		defer unix.Close(fds[0])
		if err := q.Add(fds[0], unix.EPOLLIN, 0); err != nil {
			t.Error(err)
			return
		}
		var events [1]unix.EpollEvent
		if _, err := q.park(events[:]); err != nil {
			t.Error(err)
		}
	})
	var events [8]unix.EpollEvent
	for i := 0; !came.Load(); i++ {
		if _, err := p.Wait(events[:], worker{}, true); err != nil {
			t.Fatal(err)
		}
		if i == 1000 {
			if _, err := unix.Write(fds[1], []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	other.Wait()
}

// A Wake that comes with the tick after which the poller would park is not lost.
func TestWakeAtTheTick(t *testing.T) {
	p := newPoller(t)
	var events [8]unix.EpollEvent
	for range 50 {
		p.ticking = true
		if err := unix.TimerfdSettime(p.clock, 0, &unix.ItimerSpec{Value: unix.Timespec{Nsec: 1}}, nil); err != nil {
			t.Fatal(err)
		}
		var fds = []unix.PollFd{{Fd: int32(p.clock), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
		p.moved = false
		w := worker{idle: func() { t.Error("idle, and there is something to do") }}
		w.arm = func() bool {
			p.Wake()
			return true
		}
		if _, err := p.Wait(events[:], w, false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIdleIsTold(t *testing.T) {
	p, fd := newPoller(t), newEvent(t)
	if err := p.Add(fd, unix.EPOLLIN, 0); err != nil {
		t.Fatal(err)
	}
	var events [8]unix.EpollEvent
	for begin := time.Now(); time.Since(begin) < 5*tick; { // always something to do, until there is nothing
		if _, err := p.Wait(events[:], worker{idle: func() { t.Error("idle in between") }}, true); err != nil {
			t.Fatal(err)
		}
	}
	idle := 0
	for idle == 0 {
		if _, err := p.Wait(events[:], worker{idle: func() {
			idle++
			kick(t, fd)
		}}, false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseEndsWaits(t *testing.T) {
	p := newPoller(t)
	ended := make(chan error)
	go func() {
		var events [8]unix.EpollEvent
		for {
			if _, err := p.Wait(events[:], worker{idle: p.Close}, false); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestBadDescriptorIsRefused(t *testing.T) {
	if err := newPoller(t).Add(999, unix.EPOLLIN, 0); err == nil {
		t.Error("no error")
	}
}
