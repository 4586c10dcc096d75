//go:build linux

package virtio_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

const allFeatures = virtio.FeatureIndirect | virtio.FeatureEventIdx | virtio.FeatureVersion1

func newRing(t testing.TB, size int, features uint64) *virtiotest.Ring {
	t.Helper()
	return virtiotest.NewRing(t, virtiotest.NewMemory(t, 1<<20), size, features)
}

func TestNewQueueRefusesBadLayouts(t *testing.T) {
	const base, end = virtiotest.Base, virtiotest.Base + 1<<16
	good := virtio.QueueConfig{Size: 8, Desc: base, Avail: base + 0x1000, Used: base + 0x2000}
	m := virtiotest.NewMemory(t, 1<<16)
	if _, err := virtio.NewQueue(m.Memory, good); err != nil {
		t.Fatalf("a good layout: %v", err)
	}
	for name, change := range map[string]func(*virtio.QueueConfig){
		"size 0":           func(c *virtio.QueueConfig) { c.Size = 0 },
		"size 3":           func(c *virtio.QueueConfig) { c.Size = 3 },
		"size too great":   func(c *virtio.QueueConfig) { c.Size = 0xffff },
		"desc unaligned":   func(c *virtio.QueueConfig) { c.Desc += 8 },
		"avail unaligned":  func(c *virtio.QueueConfig) { c.Avail++ },
		"used unaligned":   func(c *virtio.QueueConfig) { c.Used += 2 },
		"desc outside":     func(c *virtio.QueueConfig) { c.Desc = 0 },
		"desc over end":    func(c *virtio.QueueConfig) { c.Desc = end - 16*7 },
		"avail over end":   func(c *virtio.QueueConfig) { c.Avail = end - 20 },
		"used over end":    func(c *virtio.QueueConfig) { c.Used = end - 68 },
		"used wraps":       func(c *virtio.QueueConfig) { c.Used = 1<<64 - 4 },
		"greater than all": func(c *virtio.QueueConfig) { c.Size = 32768 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			change(&cfg)
			if _, err := virtio.NewQueue(m.Memory, cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// An avail ring at 2 mod 4 puts its index and its event field in words that they share with others.
func TestQueueWithOddAvailRing(t *testing.T) {
	for _, features := range []uint64{0, allFeatures} {
		m := virtiotest.NewMemory(t, 1<<16)
		cfg := virtio.QueueConfig{Size: 2, Desc: virtiotest.Base, Avail: virtiotest.Base + 0x1002, Used: virtiotest.Base + 0x2000, Features: features}
		q, err := virtio.NewQueue(m.Memory, cfg)
		if err != nil {
			t.Fatal(err)
		}
		avail := m.At(cfg.Avail, 10)
		buffer := m.At(virtiotest.Base, 16)
		copy(buffer, append(virtiotest.U64(virtiotest.Base+0x3000), 4, 0, 0, 0, 0, 0, 0, 0))
		avail[2] = 1 // index
		var c virtio.Chain
		if ok, err := q.Pop(&c); !ok || err != nil {
			t.Fatalf("Pop = %v, %v", ok, err)
		}
		q.Push(&c, 0)
		if err := q.Publish(); err != nil {
			t.Fatal(err)
		}
		used := m.At(cfg.Used, 24)
		copy(used[20:], "\x00\x00zz") // the avail event, and its neighbour
		if q.EnableKicks() {
			t.Error("more chains than were offered")
		}
		if string(used[22:]) != "zz" {
			t.Errorf("what follows the used ring became %q", used[22:])
		}
		if features != 0 && used[20] != 1 {
			t.Errorf("avail event %d, want 1", used[20])
		}
	}
}

func TestQueueMovesBytes(t *testing.T) {
	for name, features := range map[string]uint64{"plain": 0, "event index": virtio.FeatureEventIdx} {
		t.Run(name, func(t *testing.T) {
			r := newRing(t, 4, features)
			q := r.Queue(t, 0)
			in, out := r.Mem.Alloc(4096), r.Mem.Alloc(4096)
			var c virtio.Chain
			// Far enough for the 16-bit indices to wrap.
			for i := range 70_000 {
				r.Mem.At(out, 8)[0] = byte(i)
				head, ok := r.Add(virtiotest.Buffer{Addr: out, Len: 3}, virtiotest.Buffer{Addr: out + 3, Len: 5},
					virtiotest.Buffer{Addr: in, Len: 4, Write: true}, virtiotest.Buffer{Addr: in + 100, Len: 6, Write: true})
				if !ok {
					t.Fatal("the ring is full")
				}
				r.Publish()
				if ok, err := q.Pop(&c); !ok || err != nil {
					t.Fatalf("Pop %d = %v, %v", i, ok, err)
				}
				if c.Head != head || c.Readable.Len() != 8 || c.Writable.Len() != 10 {
					t.Fatalf("chain %+v", c)
				}
				var b [8]byte
				c.Readable.CopyTo(b[:], 0)
				if b[0] != byte(i) {
					t.Fatalf("read %x in round %d", b, i)
				}
				if n := c.Writable.CopyFrom([]byte("0123456789abc"), 0); n != 10 {
					t.Fatalf("wrote %d bytes", n)
				}
				q.Push(&c, 10)
				if _, _, ok := r.Reap(); ok {
					t.Fatal("a chain is used before Publish")
				}
				if err := q.Publish(); err != nil {
					t.Fatal(err)
				}
				if got, n, ok := r.Reap(); !ok || got != head || n != 10 {
					t.Fatalf("Reap = %d, %d, %v", got, n, ok)
				}
			}
			if got := string(r.Mem.At(in, 4)) + string(r.Mem.At(in+100, 6)); got != "0123456789" {
				t.Errorf("guest got %q", got)
			}
		})
	}
}

func TestQueueIndirect(t *testing.T) {
	r := newRing(t, 2, allFeatures)
	q := r.Queue(t, 0)
	table, data := r.Mem.Alloc(4096), r.Mem.Alloc(4096)
	copy(r.Mem.At(data, 6), "abcdef")
	// Entry 0 of the queue is plain; entry 1 leads to a table of three, out of order.
	r.SetDescriptor(0, data, 1, virtiotest.FlagNext, 1)
	r.SetDescriptor(1, table, 48, virtiotest.FlagIndirect, 0)
	r.SetDescriptorAt(table, data+1, 2, virtiotest.FlagNext, 2)
	r.SetDescriptorAt(table+32, data+3, 3, virtiotest.FlagNext, 1)
	r.SetDescriptorAt(table+16, data+100, 50, virtiotest.FlagWrite, 0)
	r.Offer(0)
	var c virtio.Chain
	if ok, err := q.Pop(&c); !ok || err != nil {
		t.Fatalf("Pop = %v, %v", ok, err)
	}
	if got := bytes.Join(c.Readable, nil); string(got) != "abcdef" || c.Writable.Len() != 50 {
		t.Errorf("read %q, room for %d", got, c.Writable.Len())
	}
}

func TestHostileRings(t *testing.T) {
	const size = 8
	type ring = *virtiotest.Ring
	for _, c := range []struct {
		name  string
		write func(r ring, table, data uint64)
		want  string // of the error
	}{
		{"loop of one", func(r ring, _, data uint64) {
			r.SetDescriptor(0, data, 1, virtiotest.FlagNext, 0)
		}, "it loops"},
		{"loop of two", func(r ring, _, data uint64) {
			r.SetDescriptor(0, data, 1, virtiotest.FlagNext, 5)
			r.SetDescriptor(5, data, 1, virtiotest.FlagNext, 0)
		}, "it loops"},
		{"next out of range", func(r ring, _, data uint64) {
			r.SetDescriptor(0, data, 1, virtiotest.FlagNext, size)
		}, "outside its table"},
		{"address 0", func(r ring, _, _ uint64) { r.SetDescriptor(0, 0, 1, 0, 0) }, "outside guest memory"},
		{"address wraps", func(r ring, _, _ uint64) { r.SetDescriptor(0, 1<<64-1, 0xffffffff, 0, 0) }, "outside guest memory"},
		{"length over the end", func(r ring, _, data uint64) { r.SetDescriptor(0, data, 0xffffffff, 0, 0) }, "outside guest memory"},
		{"length 0", func(r ring, _, data uint64) { r.SetDescriptor(0, data, 0, 0, 0) }, "empty descriptor"},
		{"readable after writable", func(r ring, _, data uint64) {
			r.SetDescriptor(0, data, 1, virtiotest.FlagNext|virtiotest.FlagWrite, 1)
			r.SetDescriptor(1, data, 1, 0, 0)
		}, "readable descriptor after"},
		{"more than 4 GiB", func(r ring, _, data uint64) {
			r.SetDescriptor(0, data, 1, virtiotest.FlagNext, 1)
			r.SetDescriptor(1, data, 0xffffffff, 0, 0)
		}, "longer than 4 GiB"},
		{"nested table", func(r ring, table, _ uint64) {
			r.SetDescriptor(0, table, 16, virtiotest.FlagIndirect, 0)
			r.SetDescriptorAt(table, table, 16, virtiotest.FlagIndirect, 0)
		}, "in an indirect table"},
		{"table and next", func(r ring, table, _ uint64) {
			r.SetDescriptor(0, table, 16, virtiotest.FlagIndirect|virtiotest.FlagNext, 1)
		}, "next or write flag"},
		{"writable table", func(r ring, table, _ uint64) {
			r.SetDescriptor(0, table, 16, virtiotest.FlagIndirect|virtiotest.FlagWrite, 0)
		}, "next or write flag"},
		{"table of 0", func(r ring, table, _ uint64) {
			r.SetDescriptor(0, table, 0, virtiotest.FlagIndirect, 0)
		}, "bad size"},
		{"table of 17 bytes", func(r ring, table, _ uint64) {
			r.SetDescriptor(0, table, 17, virtiotest.FlagIndirect, 0)
		}, "bad size"},
		{"table too long", func(r ring, table, _ uint64) {
			r.SetDescriptor(0, table, 16*1025, virtiotest.FlagIndirect, 0)
		}, "bad size"},
		{"table outside", func(r ring, _, _ uint64) {
			r.SetDescriptor(0, 1<<40, 16, virtiotest.FlagIndirect, 0)
		}, "outside guest memory"},
		{"loop in a table", func(r ring, table, data uint64) {
			r.SetDescriptor(0, table, 32, virtiotest.FlagIndirect, 0)
			r.SetDescriptorAt(table, data, 1, virtiotest.FlagNext, 1)
			r.SetDescriptorAt(table+16, data, 1, virtiotest.FlagNext, 0)
		}, "it loops"},
		{"next outside a table", func(r ring, table, data uint64) {
			r.SetDescriptor(0, table, 32, virtiotest.FlagIndirect, 0)
			r.SetDescriptorAt(table, data, 1, virtiotest.FlagNext, 2)
		}, "outside its table"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRing(t, size, allFeatures)
			q := r.Queue(t, 0)
			c.write(r, r.Mem.Alloc(16*2048), r.Mem.Alloc(4096))
			r.Offer(0)
			wantBroken(t, q, c.want)
		})
	}

	t.Run("head out of range", func(t *testing.T) {
		r := newRing(t, size, allFeatures)
		r.Offer(size)
		wantBroken(t, r.Queue(t, 0), "head 8")
	})
	t.Run("index jumps over the queue size", func(t *testing.T) {
		r := newRing(t, size, allFeatures)
		r.SetAvailIndex(size + 1)
		wantBroken(t, r.Queue(t, 0), "9 ahead")
	})
	t.Run("index goes back", func(t *testing.T) {
		r := newRing(t, size, allFeatures)
		r.SetAvailIndex(9)
		wantBroken(t, r.Queue(t, 10), "65535 ahead")
	})
	t.Run("table that was not negotiated", func(t *testing.T) {
		r := newRing(t, size, 0)
		r.SetDescriptor(0, virtiotest.Base, 16, virtiotest.FlagIndirect, 0)
		r.Offer(0)
		wantBroken(t, r.Queue(t, 0), "not negotiated")
	})
	t.Run("head offered twice", func(t *testing.T) {
		r := newRing(t, size, allFeatures)
		q := r.Queue(t, 0)
		r.SetDescriptor(3, r.Mem.Alloc(16), 16, 0, 0)
		r.Offer(3)
		r.Offer(3)
		var c virtio.Chain
		if ok, err := q.Pop(&c); !ok || err != nil {
			t.Fatalf("Pop = %v, %v", ok, err)
		}
		wantBroken(t, q, "while the device holds it")
	})
}

// wantBroken pops until the queue breaks, and demands that it stays broken.
func wantBroken(t *testing.T, q *virtio.Queue, want string) {
	t.Helper()
	var c virtio.Chain
	ok, err := q.Pop(&c)
	if ok || !errors.Is(err, virtio.ErrRing) || !strings.Contains(err.Error(), want) {
		t.Fatalf("Pop = %v, %v; want an error with %q", ok, err, want)
	}
	if n := len(c.Readable) + len(c.Writable); n > q.Size() {
		t.Errorf("%d descriptors were followed in a queue of %d", n, q.Size())
	}
	if ok, again := q.Pop(&c); ok || again != err || q.Err() != err {
		t.Errorf("then Pop = %v, %v, and Err = %v", ok, again, q.Err())
	}
	if q.EnableKicks() {
		t.Error("a broken queue has more")
	}
}

func TestUnpopGivesBack(t *testing.T) {
	r := newRing(t, 4, allFeatures)
	q := r.Queue(t, 0)
	data := r.Mem.Alloc(64)
	var chains [3]virtio.Chain
	for i := range chains {
		r.Add(virtiotest.Buffer{Addr: data, Len: 16 + i, Write: true})
	}
	r.Publish()
	for i := range chains {
		if ok, err := q.Pop(&chains[i]); !ok || err != nil {
			t.Fatalf("Pop = %v, %v", ok, err)
		}
	}
	q.Push(&chains[0], 16)
	q.Unpop(&chains[2])
	q.Unpop(&chains[1])
	if q.Base() != 1 {
		t.Errorf("base %d, want 1", q.Base())
	}
	var again virtio.Chain
	if ok, err := q.Pop(&again); !ok || err != nil || again.Head != chains[1].Head || again.Writable.Len() != 17 {
		t.Errorf("Pop = %v, %v: %+v", ok, err, again)
	}
}

func TestPushRefusesWhatTheDeviceMustNotDo(t *testing.T) {
	r := newRing(t, 4, allFeatures)
	q := r.Queue(t, 0)
	r.Add(virtiotest.Buffer{Addr: r.Mem.Alloc(64), Len: 16, Write: true})
	r.Publish()
	var c virtio.Chain
	if ok, err := q.Pop(&c); !ok || err != nil {
		t.Fatalf("Pop = %v, %v", ok, err)
	}
	wantPanic(t, "a length over the room", func() { q.Push(&c, 17) })
	q.Push(&c, 16)
	wantPanic(t, "a second push", func() { q.Push(&c, 16) })
}

func wantPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s went through", what)
		}
	}()
	f()
}

func TestCallsAndKicks(t *testing.T) {
	for name, features := range map[string]uint64{"flags": 0, "event index": virtio.FeatureEventIdx} {
		t.Run(name, func(t *testing.T) {
			r := newRing(t, 8, features)
			calls := 0
			q, err := virtio.NewQueue(r.Mem.Memory, virtio.QueueConfig{
				Size: 8, Desc: r.Desc, Avail: r.Avail, Used: r.Used, Features: features,
				Call: callFunc(func() { calls++ }),
			})
			if err != nil {
				t.Fatal(err)
			}
			data := r.Mem.Alloc(64)
			use := func(n int) {
				t.Helper()
				var c virtio.Chain
				for range n {
					r.Add(virtiotest.Buffer{Addr: data, Len: 16})
					r.Publish()
					if ok, err := q.Pop(&c); !ok || err != nil {
						t.Fatalf("Pop = %v, %v", ok, err)
					}
					q.Push(&c, 0)
				}
				if err := q.Publish(); err != nil {
					t.Fatal(err)
				}
			}
			use(3)
			if calls != 1 {
				t.Errorf("%d calls for a batch, want 1", calls)
			}
			if features != 0 {
				use(2) // the driver's used event is 0, which has been passed
				if calls != 1 {
					t.Errorf("%d calls though the driver waits for none", calls)
				}
			}

			if q.EnableKicks() {
				t.Error("an empty queue has more")
			}
			kicked := func() bool {
				before := r.Kick
				event, err := virtio.NewEventFD()
				if err != nil {
					t.Fatal(err)
				}
				defer event.Close()
				r.Kick = event
				defer func() { r.Kick = before }()
				r.Add(virtiotest.Buffer{Addr: data, Len: 16})
				r.Publish()
				return pending(event)
			}
			if !kicked() {
				t.Error("no kick though the device waits for one")
			}
			if !q.EnableKicks() {
				t.Error("a chain that arrived before arming is not seen")
			}
			q.DisableKicks()
			if features == 0 && kicked() {
				t.Error("a kick though the device wants none")
			}
		})
	}
}

type callFunc func()

func (f callFunc) Signal() error { f(); return nil }
