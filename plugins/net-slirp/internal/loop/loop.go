package loop

import (
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/poll"
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

// Source is where work comes from that no descriptor announces unless it is asked to.
type Source interface {
	// Begin begins a turn, in which what is for others is gathered.
	Begin()
	// Work does a part of it and tells whether there may be more.
	Work() bool
	// Flush ends the turn and shows others what was gathered.
	Flush()
	// Pending tells whether there is something to work on.
	Pending() bool
	// Arm asks for events of descriptors that the loop watches. It returns false if there is work already.
	Arm() bool
	// Idle is called when there was nothing to do for a while.
	Idle()
}

// Loop waits for descriptors and sources, and runs tasks.
type Loop struct {
	poller *poll.Poller
	ends   sync.WaitGroup

	// Of the goroutine.
	sources []Source
	again   []Watcher
	spare   []Watcher
	batch   []Task
	ended   chan struct{}

	mu       sync.Mutex
	watchers []watched // by descriptor
	tasks    []Task
}

// watched is a descriptor's watcher. The generation tells an event for a closed descriptor from one for its successor.
type watched struct {
	w          Watcher
	generation int32
}

// New starts a loop.
func New() (*Loop, error) {
	p, err := poll.New()
	if err != nil {
		return nil, err
	}
	l := &Loop{poller: p, ended: make(chan struct{})}
	l.ends.Go(l.run)
	return l, nil
}

// Close ends the loop and waits for it. Tasks and events that are left are forgotten.
func (l *Loop) Close() {
	l.poller.Close()
	l.ends.Wait()
	l.poller.Free()
}

// Watch tells w of fd's events, each time one begins (edge-triggered), until Forget. A nil w is told nothing, and the loop goes round.
func (l *Loop) Watch(fd int, events uint32, w Watcher) error {
	l.mu.Lock()
	for fd >= len(l.watchers) {
		l.watchers = append(l.watchers, watched{})
	}
	slot := &l.watchers[fd]
	slot.generation++
	slot.w = w
	generation := slot.generation
	l.mu.Unlock()
	if err := l.poller.Add(fd, events, generation); err != nil {
		l.Forget(fd)
		return err
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

// Unwatch is Forget for a descriptor that stays open.
func (l *Loop) Unwatch(fd int) {
	l.Forget(fd)
	l.poller.Remove(fd)
}

// Post has t run soon. It may be called with any locks.
func (l *Loop) Post(t Task) {
	l.mu.Lock()
	l.tasks = append(l.tasks, t)
	l.mu.Unlock()
	l.poller.Wake()
}

// Wake has the loop go round, for a source that has got something to do.
func (l *Loop) Wake() { l.poller.Wake() }

// Again has w.Ready(Readable) called in the next turn: for a watcher that has left something for the sake of others.
func (l *Loop) Again(w Watcher) {
	l.again = append(l.again, w)
}

// Add begins to work for s. To be called by the loop (Do).
func (l *Loop) Add(s Source) { l.sources = append(l.sources, s) }

// Remove ends that. To be called by the loop (Do).
func (l *Loop) Remove(s Source) {
	l.sources = slices.DeleteFunc(l.sources, func(other Source) bool { return other == s })
}

// Do has the loop call f and waits for that, unless the loop ends first. It is not for callbacks of the loop's.
func (l *Loop) Do(f func()) {
	done := make(chan struct{})
	l.Post(call(func() {
		defer close(done)
		f()
	}))
	select {
	case <-done:
	case <-l.ended:
	}
}

type call func()

func (c call) Run() { c() }

const maxEvents = 64

// run is the goroutine.
func (l *Loop) run() {
	defer close(l.ended)
	var events [maxEvents]unix.EpollEvent
	for {
		l.begin()
		busy := l.work()
		others()
		l.runTasks()
		l.flush()
		n, err := l.poller.Wait(events[:], (*waiting)(l), busy || len(l.again) > 0)
		if err != nil {
			return
		}
		l.begin()
		l.tell(events[:n])
		l.flush()
	}
}

func (l *Loop) begin() {
	for _, s := range l.sources {
		s.Begin()
	}
}

// others lets the goroutines run that have something to do on this processor. Once in 61 turns the scheduler begins with those that gave
// it up, such as this one (runtime/proc.go, schedtick), but not twice in a row.
func others() {
	runtime.Gosched()
	runtime.Gosched()
}

// work has all sources work, and tells whether one may have more.
func (l *Loop) work() (busy bool) {
	for _, s := range l.sources {
		busy = s.Work() || busy
	}
	return busy
}

// runTasks runs what was posted before it is called.
func (l *Loop) runTasks() {
	l.mu.Lock()
	l.batch, l.tasks = l.tasks, l.batch[:0]
	l.mu.Unlock()
	for i, t := range l.batch {
		t.Run()
		l.batch[i] = nil
	}
}

// waiting is a Loop that waits: a poll.Worker.
type waiting Loop

// Pending implements poll.Worker.
func (l *waiting) Pending() bool {
	for _, s := range l.sources {
		if s.Pending() {
			return true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tasks) > 0
}

// Arm implements poll.Worker.
func (l *waiting) Arm() bool {
	for _, s := range l.sources {
		if !s.Arm() {
			return false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tasks) == 0
}

// Idle implements poll.Worker.
func (l *waiting) Idle() {
	for _, s := range l.sources {
		s.Idle()
	}
}

func (l *Loop) flush() {
	for _, s := range l.sources {
		s.Flush()
	}
}

// tell calls the watchers of events, and those that asked to be called again.
func (l *Loop) tell(events []unix.EpollEvent) {
	again := l.again
	l.again = l.spare[:0]
	for i := range events {
		if w := l.watcher(&events[i]); w != nil {
			w.Ready(events[i].Events)
		}
	}
	for i, w := range again {
		w.Ready(Readable)
		again[i] = nil
	}
	l.spare = again
}

func (l *Loop) watcher(e *unix.EpollEvent) Watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(e.Fd) < len(l.watchers) {
		if slot := &l.watchers[e.Fd]; slot.generation == e.Pad {
			return slot.w
		}
	}
	return nil
}
