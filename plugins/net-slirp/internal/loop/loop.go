package loop

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
)

// Events that a Watcher is told of.
const (
	Readable = unix.EPOLLIN
	Writable = unix.EPOLLOUT
	HungUp   = unix.EPOLLRDHUP | unix.EPOLLHUP // the peer sends nothing any more
	Failed   = unix.EPOLLERR
)

// Watcher is told what a descriptor has become ready for.
type Watcher interface{ Ready(events uint32) }

// Task is something to be run soon.
type Task interface{ Run() }

// Loop waits for descriptors and runs tasks.
type Loop struct {
	epoll *os.File
	fd    int
	ends  sync.WaitGroup
	again []Watcher // of the goroutine that polls

	mu       sync.Mutex
	watchers []watched // by descriptor
	tasks    []Task
	closed   bool
	wake     chan struct{}
}

// watched is a descriptor's watcher. The generation tells an event for a closed descriptor from one for its successor.
type watched struct {
	w          Watcher
	generation uint32
}

// New starts a loop.
func New() (*Loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	// Without it the runtime would not take the file into its poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	l := &Loop{epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd, wake: make(chan struct{}, 1)}
	l.ends.Go(l.poll)
	l.ends.Go(l.run)
	return l, nil
}

// Close ends the loop and waits for its goroutines. Tasks and events that are left are forgotten.
func (l *Loop) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.poke()
	_ = l.epoll.Close()
	l.ends.Wait()
}

// Watch tells w of fd's events, each time one begins (edge-triggered), until Forget.
func (l *Loop) Watch(fd int, events uint32, w Watcher) error {
	l.mu.Lock()
	for fd >= len(l.watchers) {
		l.watchers = append(l.watchers, watched{})
	}
	slot := &l.watchers[fd]
	slot.generation++
	slot.w = w
	event := unix.EpollEvent{Events: events | unix.EPOLLET, Fd: int32(fd), Pad: int32(slot.generation)}
	l.mu.Unlock()
	if err := unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		l.Forget(fd)
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// Forget ends that; to be called before fd is closed. A call of Ready may be under way.
func (l *Loop) Forget(fd int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fd < len(l.watchers) {
		l.watchers[fd].w = nil
		l.watchers[fd].generation++
	}
}

// Post has t run soon by a goroutine that holds no locks. It may be called with any.
func (l *Loop) Post(t Task) {
	l.mu.Lock()
	l.tasks = append(l.tasks, t)
	first := len(l.tasks) == 1
	l.mu.Unlock()
	if first {
		l.poke()
	}
}

// Again has w.Ready(Readable) called by the goroutine that waits for descriptors, after what else there is: for a watcher that has left
// something for the sake of others. Watchers that share memory rely on being called by one goroutine.
func (l *Loop) Again(w Watcher) {
	l.again = append(l.again, w)
}

func (l *Loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run runs tasks.
func (l *Loop) run() {
	var batch []Task
	for range l.wake {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return
		}
		batch, l.tasks = l.tasks, batch[:0]
		l.mu.Unlock()
		for i, t := range batch {
			t.Run()
			batch[i] = nil
		}
	}
}

const maxEvents = 64

// poll waits for events.
func (l *Loop) poll() {
	raw, err := l.epoll.SyscallConn()
	if err != nil {
		return
	}
	var events [maxEvents]unix.EpollEvent
	n := 0
	take := func(fd uintptr) bool {
		n, err = hostsock.Poll(int(fd), events[:])
		if err == unix.EINTR {
			n, err = 0, nil
		}
		return n > 0 || err != nil || len(l.again) > 0
	}
	for {
		if waitErr := raw.Read(take); waitErr != nil || err != nil {
			return // closed
		}
		l.tell(events[:n])
	}
}

// tell calls the watchers of events, and those that asked to be called again.
func (l *Loop) tell(events []unix.EpollEvent) {
	for i := range events {
		if w := l.watcher(&events[i]); w != nil {
			w.Ready(events[i].Events)
		}
	}
	again := l.again
	l.again = nil
	for _, w := range again {
		w.Ready(Readable)
	}
}

func (l *Loop) watcher(e *unix.EpollEvent) Watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slot := &l.watchers[e.Fd]; slot.generation == uint32(e.Pad) {
		return slot.w
	}
	return nil
}
