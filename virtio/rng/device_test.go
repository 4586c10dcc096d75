//go:build linux

package rng_test

import (
	"bytes"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/rng"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newDevice(testing.TB) virtio.Device { return rng.New() }

func TestAbuse(t *testing.T) { virtiotest.Abuse(t, newDevice) }

func TestEntropy(t *testing.T) {
	d := virtiotest.NewMMIODriver(t, rng.New(), virtiotest.NewMemory(t, 1<<20))
	r := d.Start(virtiotest.AllFeatures, 8)[0]
	data := d.Mem.Alloc(1 << 18)
	for name, c := range map[string]struct {
		bufs []virtiotest.Buffer
		want int
	}{
		"one buffer":    {[]virtiotest.Buffer{{Addr: data, Len: 64, Write: true}}, 64},
		"one byte":      {[]virtiotest.Buffer{{Addr: data, Len: 1, Write: true}}, 1},
		"two buffers":   {[]virtiotest.Buffer{{Addr: data, Len: 5000, Write: true}, {Addr: data + 5000, Len: 5000, Write: true}}, 10_000},
		"no room":       {[]virtiotest.Buffer{{Addr: data, Len: 64}}, 0},
		"a great deal":  {[]virtiotest.Buffer{{Addr: data, Len: 1 << 18, Write: true}}, 64 << 10},
		"after reading": {[]virtiotest.Buffer{{Addr: data + 64, Len: 8}, {Addr: data, Len: 64, Write: true}}, 64},
	} {
		t.Run(name, func(t *testing.T) {
			guest := d.Mem.At(data, 1<<18)
			clear(guest)
			r.Add(c.bufs...)
			r.Publish()
			if _, n := r.Wait(); n != c.want {
				t.Errorf("%d bytes, want %d", n, c.want)
			}
			// 64 bytes of zero do not happen by chance.
			if zero := make([]byte, 64); c.want >= 64 && bytes.Contains(guest[:c.want], zero) {
				t.Error("some of them were not written")
			}
			if rest := guest[c.want:]; !bytes.Equal(rest, make([]byte, len(rest))) {
				t.Error("more was written than is said")
			}
		})
	}
}

func TestState(t *testing.T) {
	d := virtiotest.NewMMIODriver(t, rng.New(), virtiotest.NewMemory(t, 1<<20))
	r := d.Start(virtiotest.AllFeatures, 8)[0]
	data := d.Mem.Alloc(4096)
	for range 3 {
		d = d.Move(rng.New())
		r.Add(virtiotest.Buffer{Addr: data, Len: 64, Write: true})
		r.Publish()
		if _, n := r.Wait(); n != 64 {
			t.Fatalf("%d bytes after a move", n)
		}
	}
	for _, bad := range []string{"", "{}", "null", `{"version":2,"data":{}}`, `{"version":1,"data":{"seed":1}}`} {
		if err := rng.New().LoadState([]byte(bad)); err == nil {
			t.Errorf("state %q is taken", bad)
		}
	}
}

func FuzzRNG(f *testing.F) {
	virtiotest.AddScripts(f, 0, nil, []byte{1})
	f.Fuzz(func(t *testing.T, script []byte) { virtiotest.Play(t, newDevice, script, nil) })
}
