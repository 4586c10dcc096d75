//go:build linux

package virtio_test

import (
	"errors"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// Chains that a device holds outlive their queue: a new one over the same rings goes on as if nothing had happened.
func TestAdopt(t *testing.T) {
	r := newRing(t, 8, allFeatures)
	data := r.Mem.Alloc(4096)
	for i := range 4 {
		r.Add(virtiotest.Buffer{Addr: data + uint64(64*i), Len: 16}, virtiotest.Buffer{Addr: data + uint64(64*i) + 32, Len: 16, Write: true})
	}
	r.Publish()
	q := r.Queue(t, 0)
	var popped [4]virtio.Chain
	for i := range popped {
		if ok, err := q.Pop(&popped[i]); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	q.Push(&popped[1], 1)
	if err := q.Publish(); err != nil {
		t.Fatal(err)
	}

	again := r.Queue(t, q.Base())
	var c virtio.Chain
	for _, i := range []int{3, 0, 2} {
		for range 2 { // the second time it is the queue's own
			if err := again.Adopt(popped[i].Head, &c); err != nil {
				t.Fatal(err)
			}
		}
		if c.Head != popped[i].Head || c.Readable.Len() != 16 || c.Writable.Len() != 16 {
			t.Errorf("chain %+v, want %+v", c, popped[i])
		}
	}
	if ok, err := again.Pop(&c); ok || err != nil {
		t.Fatalf("a chain that was popped before is popped again: %v, %v", ok, err)
	}
	for n, i := range []int{2, 0, 3} {
		again.Push(&popped[i], n)
	}
	if err := again.Publish(); err != nil {
		t.Fatal(err)
	}
	for n, i := range []int{1, 2, 0, 3} {
		head, length, ok := r.Reap()
		if want := max(n-1, 0); n > 0 && length != want || !ok || head != popped[i].Head {
			t.Errorf("used element %d: head %d, %d bytes, %v; want head %d, %d bytes", n, head, length, ok, popped[i].Head, want)
		}
	}
	r.Add(virtiotest.Buffer{Addr: data, Len: 16})
	r.Publish()
	if ok, err := again.Pop(&c); !ok || err != nil {
		t.Fatal(ok, err)
	}
	again.Push(&c, 0)
	if err := again.Publish(); err != nil {
		t.Fatal(err)
	}
	if head, _, ok := r.Reap(); !ok || head != c.Head {
		t.Errorf("head %d, %v", head, ok)
	}
}

func TestAdoptJudgesTheChain(t *testing.T) {
	for _, c := range []struct {
		name   string
		head   uint16
		change func(r *virtiotest.Ring)
	}{
		{"no such head", 8, func(*virtiotest.Ring) {}},
		{"loop", 1, func(r *virtiotest.Ring) { r.SetDescriptor(1, virtiotest.Base, 16, virtiotest.FlagNext, 1) }},
		{"outside memory", 1, func(r *virtiotest.Ring) { r.SetDescriptor(1, 1<<60, 16, 0, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRing(t, 8, allFeatures)
			c.change(r)
			q := r.Queue(t, 5)
			var chain virtio.Chain
			if err := q.Adopt(c.head, &chain); !errors.Is(err, virtio.ErrRing) {
				t.Fatalf("error %v", err)
			}
			if err := q.Adopt(0, &chain); !errors.Is(err, virtio.ErrRing) {
				t.Errorf("the queue is not broken: %v", err)
			}
		})
	}
}
