//go:build linux

package console_test

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/console"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	rx = 0
	tx = 1
)

func newConsole(t testing.TB, cfg console.Config) *console.Device {
	t.Helper()
	if cfg.Output == nil {
		cfg.Output = io.Discard
	}
	d, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newDevice(t testing.TB) virtio.Device {
	d := newConsole(t, console.Config{Columns: 80, Rows: 24})
	d.Input([]byte(strings.Repeat("input ", 1000)))
	return d
}

func TestAbuse(t *testing.T) { virtiotest.Abuse(t, newDevice) }

func FuzzConsole(f *testing.F) {
	virtiotest.AddScripts(f, tx, []byte("hello"), bytes.Repeat([]byte("x"), 3000))
	virtiotest.AddScripts(f, rx, nil)
	f.Fuzz(func(t *testing.T, script []byte) { virtiotest.Play(t, newDevice, script, nil) })
}

// recorder is an output that tells of every write.
type recorder struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	return r.text.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func TestOutput(t *testing.T) {
	out := &recorder{}
	d := virtiotest.NewMMIODriver(t, newConsole(t, console.Config{Output: out}), virtiotest.NewMemory(t, 1<<20))
	r := d.Start(virtiotest.AllFeatures, 8)[tx]
	data := d.Mem.Alloc(1 << 16)
	text := strings.Repeat("0123456789", 2000)
	copy(d.Mem.At(data, 1<<16), text)
	r.Add(virtiotest.Buffer{Addr: data, Len: 3}, virtiotest.Buffer{Addr: data + 3, Len: 5000})
	r.Add(virtiotest.Buffer{Addr: data + 5003, Len: len(text) - 5003})
	r.Publish()
	for range 2 {
		if _, n := r.Wait(); n != 0 {
			t.Errorf("%d bytes were written to the guest", n)
		}
	}
	if out.String() != text {
		t.Errorf("%d bytes came out, want %d", len(out.String()), len(text))
	}
}

// One chain may name the same memory again and again, up to 4 GiB.
func TestOutputOfOneChainIsBounded(t *testing.T) {
	out := &recorder{}
	d := virtiotest.NewMMIODriver(t, newConsole(t, console.Config{Output: out}), virtiotest.NewMemory(t, 2<<20))
	r := d.Start(virtiotest.AllFeatures, 32)[tx]
	data := d.Mem.Alloc(1 << 20)
	var bufs []virtiotest.Buffer
	for range 32 {
		bufs = append(bufs, virtiotest.Buffer{Addr: data, Len: 1 << 20})
	}
	r.Add(bufs...)
	r.Publish()
	r.Wait()
	if n := len(out.String()); n != 1<<20 {
		t.Errorf("%d bytes came out of one chain", n)
	}
}

// room offers n bytes for input and returns what they become.
func room(d *virtiotest.MMIODriver, n int) (get func() string) {
	r := d.Rings[rx]
	addr := d.Mem.Alloc(n)
	r.Add(virtiotest.Buffer{Addr: addr, Len: n, Write: true})
	r.Publish()
	return func() string {
		_, used := r.Wait()
		return string(d.Mem.At(addr, used))
	}
}

func TestInput(t *testing.T) {
	dev := newConsole(t, console.Config{})
	dev.Input([]byte("early "))
	d := virtiotest.NewMMIODriver(t, dev, virtiotest.NewMemory(t, 1<<20))
	d.Start(virtiotest.AllFeatures, 8)
	if got := room(d, 4)(); got != "earl" {
		t.Errorf("the guest reads %q", got)
	}
	if got := room(d, 100)(); got != "y " {
		t.Errorf("the guest reads %q", got)
	}
	get := room(d, 100) // before there is input
	dev.Input([]byte("late"))
	if got := get(); got != "late" {
		t.Errorf("the guest reads %q", got)
	}
}

func TestInputIsBounded(t *testing.T) {
	dev := newConsole(t, console.Config{})
	if n := dev.Input(make([]byte, console.MaxInput+1)); n != console.MaxInput {
		t.Errorf("%d bytes were taken", n)
	}
	if n := dev.Input([]byte("x")); n != 0 {
		t.Errorf("%d bytes were taken by a full buffer", n)
	}
	d := virtiotest.NewMMIODriver(t, dev, virtiotest.NewMemory(t, 1<<20))
	d.Start(virtiotest.AllFeatures, 8)
	if got := room(d, 100)(); len(got) != 100 {
		t.Errorf("the guest reads %d bytes", len(got))
	}
	if n := dev.Input(make([]byte, 200)); n != 100 {
		t.Errorf("%d bytes were taken where 100 had been read", n)
	}
}

func TestSize(t *testing.T) {
	dev := newConsole(t, console.Config{Columns: 80, Rows: 24})
	d := virtiotest.NewMMIODriver(t, dev, virtiotest.NewMemory(t, 1<<20))
	d.Start(virtiotest.AllFeatures, 8)
	if d.Features&1 == 0 {
		t.Fatal("VIRTIO_CONSOLE_F_SIZE is not offered")
	}
	if got := d.Get(virtiotest.RegConfig); got != 24<<16|80 {
		t.Errorf("size %#x", got)
	}
	generation := d.Get(virtiotest.RegConfigGeneration)
	dev.Resize(132, 50)
	d.WaitConfig()
	if got := d.Get(virtiotest.RegConfig); got != 50<<16|132 {
		t.Errorf("size %#x after Resize", got)
	}
	if d.Get(virtiotest.RegConfigGeneration) == generation {
		t.Error("the configuration has changed and its generation has not")
	}
	// While it is paused, the driver cannot be told.
	d.Transport.Pause()
	dev.Resize(100, 30)
	d.Transport.Resume()
	d.WaitConfig()

	plain := newConsole(t, console.Config{})
	plain.Resize(1, 1)
	if plain.Features() != 0 {
		t.Error("a console without a size offers one")
	}
}

func TestState(t *testing.T) {
	dev := newConsole(t, console.Config{Columns: 80, Rows: 24})
	d := virtiotest.NewMMIODriver(t, dev, virtiotest.NewMemory(t, 1<<20))
	d.Start(virtiotest.AllFeatures, 8)
	dev.Input([]byte("waits"))
	dev.Resize(132, 50)
	out := &recorder{}
	d = d.Move(newConsole(t, console.Config{Output: out, Columns: 80, Rows: 24}))
	if got := d.Get(virtiotest.RegConfig); got != 50<<16|132 {
		t.Errorf("size %#x after a move", got)
	}
	if got := room(d, 100)(); got != "waits" {
		t.Errorf("the guest reads %q after a move", got)
	}
	addr := d.Mem.Alloc(8)
	copy(d.Mem.At(addr, 8), "goodbye.")
	d.Rings[tx].Add(virtiotest.Buffer{Addr: addr, Len: 8})
	d.Rings[tx].Publish()
	d.Rings[tx].Wait()
	if out.String() != "goodbye." {
		t.Errorf("the host reads %q after a move", out)
	}
	for _, bad := range []string{
		"", "null", `{"version":9,"data":{}}`, `{"version":1,"data":{"input":"?"}}`, `{"version":1,"data":{"columns":65536}}`,
		`{"version":1,"data":{"input":"` + strings.Repeat("AAAA", console.MaxInput/3+1) + `"}}`,
	} {
		if err := newConsole(t, console.Config{}).LoadState([]byte(bad)); err == nil {
			t.Errorf("state %.60q is taken", bad)
		}
	}
}

// A guest that floods both queues moves nothing but bytes: the writer sees chunks of bounded size.
func TestFlood(t *testing.T) {
	out := &recorder{}
	dev := newConsole(t, console.Config{Output: out})
	d := virtiotest.NewMMIODriver(t, dev, virtiotest.NewMemory(t, 1<<20))
	rings := d.Start(virtiotest.AllFeatures, 64)
	data := d.Mem.Alloc(4096)
	deadline := time.Now().Add(virtiotest.Patience)
	for sent := 0; sent < 2000; {
		if time.Now().After(deadline) {
			t.Fatal("the flood stands still")
		}
		for {
			if _, ok := rings[tx].Add(virtiotest.Buffer{Addr: data, Len: 1}); !ok {
				break
			}
			sent++
		}
		rings[tx].Publish()
		rings[tx].Wait()
		for {
			if _, _, ok := rings[tx].Reap(); !ok {
				break
			}
		}
	}
	dev.Input([]byte("still alive"))
	if got := room(d, 100)(); got != "still alive" {
		t.Errorf("the guest reads %q", got)
	}
}
