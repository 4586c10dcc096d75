//go:build linux

package virtio_test

import (
	"errors"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// served starts w on a ring whose chains handle answers, and returns the ring and what breaks it.
func served(t *testing.T, w *virtio.Workers, a virtio.Activation, handle func(*virtio.Chain) int) (r *virtiotest.Ring, broken chan error) {
	t.Helper()
	r = newRing(t, 8, allFeatures)
	q, kick := r.Lent(t, 0)
	t.Cleanup(func() { _ = kick.Close() })
	broken = make(chan error, 1)
	a.Queues = []*virtio.Queue{q, nil}
	a.Broken = func(queue int, err error) {
		if queue != 0 {
			t.Errorf("queue %d is broken", queue)
		}
		broken <- err
	}
	unused := func(*virtio.Queue, <-chan struct{}) error {
		t.Error("a worker has no queue")
		return nil
	}
	err := w.Start(a, func(q *virtio.Queue, stop <-chan struct{}) error { return virtio.Serve(q, stop, handle) }, unused, unused)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return r, broken
}

func TestServe(t *testing.T) {
	var w virtio.Workers
	r, _ := served(t, &w, virtio.Activation{}, func(c *virtio.Chain) int { return c.Writable.CopyFrom([]byte("abc"), 0) })
	data := r.Mem.Alloc(64)
	for range 1000 {
		for range 8 {
			r.Add(virtiotest.Buffer{Addr: data, Len: 3, Write: true})
		}
		r.Publish()
		for range 8 {
			if _, n := r.Wait(); n != 3 {
				t.Fatalf("%d bytes", n)
			}
		}
	}
	if err := w.Start(virtio.Activation{}); err == nil {
		t.Error("started while it runs")
	}
	w.Stop()
	w.Stop()
	r.Add(virtiotest.Buffer{Addr: data, Len: 3, Write: true})
	r.Publish()
	if err := w.Start(virtio.Activation{}); err != nil {
		t.Errorf("started again: %v", err)
	}
	if _, _, ok := r.Reap(); ok {
		t.Error("a chain is used though nobody serves the queue")
	}
}

// Stop does not wait until a guest runs out of chains.
func TestServeStopsUnderFlood(t *testing.T) {
	var w virtio.Workers
	var r *virtiotest.Ring
	busy := make(chan struct{}, 1)
	offer := make(chan struct{})
	r, _ = served(t, &w, virtio.Activation{}, func(*virtio.Chain) int {
		select {
		case busy <- struct{}{}:
		default:
		}
		<-offer
		return 0
	})
	data := r.Mem.Alloc(64)
	for range 8 {
		r.Add(virtiotest.Buffer{Addr: data, Len: 3})
	}
	r.Publish()
	<-busy
	stopped := make(chan struct{})
	go func() {
		w.Stop()
		close(stopped)
	}()
	offer <- struct{}{} // the one that it holds
	for {
		select {
		case <-stopped:
			// Chains that it had not begun are left to whoever serves the queue next.
			if n := r.UsedIndex(); n == 0 {
				t.Error("the chain that was held is not used")
			}
			return
		case offer <- struct{}{}: // it was quicker than Stop
		}
	}
}

func TestServeReportsABrokenQueue(t *testing.T) {
	var w virtio.Workers
	r, broken := served(t, &w, virtio.Activation{}, func(*virtio.Chain) int { return 0 })
	r.SetAvailIndex(100)
	r.Notify()
	if err := <-broken; !errors.Is(err, virtio.ErrRing) {
		t.Errorf("broken = %v", err)
	}
}

func TestConfigChanged(t *testing.T) {
	var w virtio.Workers
	told := 0
	a := virtio.Activation{ConfigChanged: func() { told++ }}
	expect := func(what string, want int) {
		t.Helper()
		if told != want {
			t.Errorf("%s: told %d times, want %d", what, told, want)
		}
	}
	w.ConfigChanged()
	w.ConfigChanged()
	expect("before it starts", 0)
	if err := w.Start(a); err != nil {
		t.Fatal(err)
	}
	expect("when it starts", 1)
	w.ConfigChanged()
	expect("while it runs", 2)
	w.Stop()
	w.ConfigChanged()
	expect("stopped", 2)
	if err := w.Start(a); err != nil {
		t.Fatal(err)
	}
	expect("started again", 3)
	w.Stop()
	if err := w.Start(virtio.Activation{}); err != nil { // a transport without such a message
		t.Fatal(err)
	}
	w.ConfigChanged()
	w.Stop()
	if err := w.Start(a); err != nil {
		t.Fatal(err)
	}
	expect("where there is a message again", 4)
	w.Stop()
}
