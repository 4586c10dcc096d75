//go:build linux

package mmio_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/mmio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func save(t testing.TB, tr *mmio.Transport) []byte {
	t.Helper()
	tr.Pause()
	state, err := tr.Save()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestSaveNeedsPause(t *testing.T) {
	tr, _, _ := newProbe(t)
	if _, err := tr.Save(); err == nil {
		t.Error("saved while it runs")
	}
}

// Wherever a driver is in its initialization, the registers are the same in another process, and it goes on.
func TestSaveAndLoad(t *testing.T) {
	for name, prepare := range map[string]func(*mmio.Transport, *probe){
		"new":                   func(*mmio.Transport, *probe) {},
		"before features":       func(tr *mmio.Transport, _ *probe) { set(tr, virtiotest.RegStatus, 1); set(tr, virtiotest.RegStatus, 3) },
		"negotiated":            func(tr *mmio.Transport, _ *probe) { negotiate(tr) },
		"with a queue":          func(tr *mmio.Transport, _ *probe) { negotiate(tr); layout(tr, 1) },
		"with half an address":  func(tr *mmio.Transport, _ *probe) { negotiate(tr); set(tr, virtiotest.RegQueueDesc+4, 7) },
		"running":               func(tr *mmio.Transport, _ *probe) { start(tr) },
		"running without queue": func(tr *mmio.Transport, _ *probe) { negotiate(tr); set(tr, virtiotest.RegStatus, 15) },
		"broken": func(tr *mmio.Transport, p *probe) {
			start(tr)
			p.activation.Broken(0, virtio.ErrRing)
		},
		"layout written late": func(tr *mmio.Transport, _ *probe) {
			negotiate(tr)
			layout(tr, 1)
			set(tr, virtiotest.RegQueueNum, 4)
			set(tr, virtiotest.RegStatus, 15)
			set(tr, virtiotest.RegQueueNum, 2)
		},
		"given up": func(tr *mmio.Transport, _ *probe) {
			set(tr, virtiotest.RegStatus, 1)
			set(tr, virtiotest.RegStatus, 0x81)
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := virtiotest.NewMemory(t, 1<<20)
			from, was, _ := probeOn(t, mem, &probe{state: "of the device"})
			prepare(from, was)
			ran := was.running
			state := save(t, from)
			to, is, l := probeOn(t, mem, &probe{})
			if err := to.Load(state); err != nil {
				t.Fatal(err)
			}
			for offset := uint64(0); offset < virtiotest.RegConfig; offset += 4 {
				if a, b := get(from, offset), get(to, offset); a != b {
					t.Errorf("%#x reads %#x, and was %#x", offset, b, a)
				}
			}
			if is.state != "of the device" {
				t.Errorf("the device has state %q", is.state)
			}
			if again := save(t, to); string(again) != string(state) {
				t.Errorf("saved again it is\n%s, and was\n%s", again, state)
			}
			l.take()
			to.Resume()
			if is.running != ran {
				t.Errorf("the device runs: %v, and before: %v", is.running, ran)
			}
			if raised := len(l.take()) > 0; raised != (get(to, virtiotest.RegInterruptStatus) != 0) {
				t.Errorf("an interrupt is raised: %v", raised)
			}
			for i, q := range is.activation.Queues {
				if before := was.activation.Queues[i]; q != nil && q.Size() != before.Size() {
					t.Errorf("queue %d has size %d, and had %d", i, q.Size(), before.Size())
				}
			}
			start(to)
			if s := get(to, virtiotest.RegStatus); s != 15 || !is.running {
				t.Errorf("status %#x when started anew", s)
			}
		})
	}
}

// The rings go on where they stood, in the middle of their 16 bits too.
func TestQueuesMove(t *testing.T) {
	d := virtiotest.NewMMIODriver(t, &echo{}, virtiotest.NewMemory(t, 1<<20))
	r := d.Start(virtiotest.AllFeatures, 8)[0]
	data := d.Mem.Alloc(64)
	for round := range 10 {
		for n := range 7 {
			d.Mem.At(data, 1)[0] = byte(n)
			r.Add(virtiotest.Buffer{Addr: data, Len: 1}, virtiotest.Buffer{Addr: data + 32, Len: 1, Write: true})
			r.Publish()
			if _, used := r.Wait(); used != 1 || d.Mem.At(data+32, 1)[0] != byte(n) {
				t.Fatalf("round %d: %d bytes come back", round, used)
			}
		}
		d = d.Move(&echo{})
	}
}

func TestLoadRefuses(t *testing.T) {
	mem := virtiotest.NewMemory(t, 1<<20)
	from, _, _ := probeOn(t, mem, &probe{})
	start(from)
	good := string(save(t, from))
	replace := func(old, by string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, by, 1)
	}
	for name, state := range map[string]string{
		"nothing":              "",
		"no JSON":              "\x00\x01",
		"another version":      replace(`"version":1`, `"version":2`),
		"another device":       replace(`"device_id":3`, `"device_id":4`),
		"an unknown field":     replace(`"device_id":3`, `"device_id":3,"more":1`),
		"impossible status":    replace(`"status":15`, `"status":12`),
		"started but not OK":   replace(`"status":15`, `"status":11`),
		"queues of no driver":  replace(`"status":15,"started":true`, `"status":0,"started":false`),
		"without VERSION_1":    replace(`"driver_features":4294967296`, `"driver_features":0`),
		"features not offered": replace(`"driver_features":4294967296`, `"driver_features":4294967297`),
		"a queue too few":      replace(`"queues":[{`, `"queues":[],"device":[{`),
		"a queue of size 3":    replace(`"num":8`, `"num":3`),
		"a queue too large":    replace(`"num":8`, `"num":16`),
		"size of 2^16":         replace(`"num":8`, `"num":65544`),
		"a queue elsewhere":    replace(`"desc":65536`, `"desc":1099511627776`),
		"the device's is bad":  replace(`"device":""`, `"device":"bad"`),
		"the device has none":  replace(`,"device":""`, ``),
		"too long":             good + strings.Repeat(" ", virtio.MaxState),
	} {
		t.Run(name, func(t *testing.T) {
			to, p, _ := probeOn(t, mem, &probe{state: "before"})
			if err := to.Load([]byte(state)); !errors.Is(err, virtio.ErrState) {
				t.Fatalf("Load = %v", err)
			}
			to.Resume()
			if s := get(to, virtiotest.RegStatus); s != 0 || p.running || p.state != "before" {
				t.Errorf("status %#x, running %v, state %q after all", s, p.running, p.state)
			}
		})
	}
}

// A device without state of its own moves too.
func TestLoadOfDeviceWithoutState(t *testing.T) {
	d := virtiotest.NewMMIODriver(t, &echo{}, virtiotest.NewMemory(t, 1<<20))
	d.Start(virtiotest.AllFeatures, 8)
	state := save(t, d.Transport)
	if !json.Valid(state) || strings.Contains(string(state), `"device":`) {
		t.Errorf("state %s", state)
	}
}

func FuzzLoad(f *testing.F) {
	mem := virtiotest.NewMemory(f, 1<<20)
	tr, _, _ := probeOn(f, mem, &probe{state: "x"})
	f.Add(save(f, tr))
	start(tr)
	f.Add(save(f, tr))
	f.Fuzz(func(t *testing.T, state []byte) {
		to, p, _ := probeOn(t, mem, &probe{})
		err := to.Load(state)
		to.Resume()
		if err != nil && (p.running || get(to, virtiotest.RegStatus) != 0) {
			t.Fatalf("a refused state (%v) starts the device", err)
		}
		set(to, virtiotest.RegQueueSel, 0)
		set(to, virtiotest.RegQueueReady, 0)
		start(to)
		if s := get(to, virtiotest.RegStatus); s != 15 {
			t.Fatalf("status %#x after a reset", s)
		}
	})
}

func FuzzTransport(f *testing.F) {
	virtiotest.AddScripts(f, 0, []byte("hello"), nil)
	f.Fuzz(func(t *testing.T, script []byte) {
		virtiotest.Play(t, func(testing.TB) virtio.Device { return &echo{} }, script, nil)
	})
}
