package loop

import (
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

type watcherFunc func(uint32)

func (f watcherFunc) Ready(events uint32) { f(events) }

type taskFunc func()

func (f taskFunc) Run() { f() }

func newLoop(t *testing.T) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// pair returns two ends of a stream, of which the test closes neither.
func pair(t *testing.T) [2]int {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) })
	return fds
}

func TestEdgesAreTold(t *testing.T) {
	l, fds := newLoop(t), pair(t)
	events := make(chan uint32, 16)
	if err := l.Watch(fds[0], Readable|HungUp, watcherFunc(func(e uint32) { events <- e })); err != nil {
		t.Fatal(err)
	}
	for range 3 { // without anybody reading in between
		if _, err := unix.Write(fds[1], []byte("x")); err != nil {
			t.Fatal(err)
		}
		if e := <-events; e&Readable == 0 || e&HungUp != 0 {
			t.Fatalf("events %#x", e)
		}
	}
	if err := unix.Shutdown(fds[1], unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e&HungUp == 0 {
		t.Fatalf("events %#x", e)
	}
}

func TestForgottenDescriptorIsQuiet(t *testing.T) {
	l, first, second := newLoop(t), pair(t), pair(t)
	var told atomic.Int32
	if err := l.Watch(first[0], Readable, watcherFunc(func(uint32) { told.Add(1) })); err != nil {
		t.Fatal(err)
	}
	l.Forget(first[0])
	done := make(chan struct{})
	if err := l.Watch(second[0], Readable, watcherFunc(func(uint32) { close(done) })); err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Write(first[1], []byte("x"))
	_, _ = unix.Write(second[1], []byte("x"))
	<-done // events come in order
	if told.Load() != 0 {
		t.Error("the watcher of a forgotten descriptor was told")
	}
}

func TestTasksRunInOrderAndMayPost(t *testing.T) {
	l := newLoop(t)
	var mu sync.Mutex
	var order []int
	done := make(chan struct{})
	var chain func(i int) Task
	chain = func(i int) Task {
		return taskFunc(func() {
			mu.Lock()
			defer mu.Unlock()
			if order = append(order, i); i == 100 {
				close(done)
				return
			}
			l.Post(chain(i + 1))
		})
	}
	l.Post(chain(0))
	<-done
	for i, v := range order {
		if i != v {
			t.Fatalf("order %v", order)
		}
	}
}

func TestBadDescriptorIsRefused(t *testing.T) {
	l := newLoop(t)
	if err := l.Watch(999, Readable, watcherFunc(func(uint32) {})); err == nil {
		t.Error("no error")
	}
}
