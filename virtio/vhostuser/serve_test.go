//go:build linux

package vhostuser_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/vhostuser"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const features = virtio.FeatureVersion1 | virtio.FeatureIndirect | virtio.FeatureEventIdx | 1

// device echoes: it copies the readable part of each chain to the writable one.
type device struct {
	mu     sync.Mutex
	active []int // the queues of the last activation
	resets int
	config [16]byte

	stop chan struct{}
	done sync.WaitGroup
}

func (d *device) DeviceID() uint32     { return 42 }
func (d *device) Features() uint64     { return 1 }
func (d *device) QueueSizes() []uint16 { return []uint16{128, 64} }

func (d *device) ReadConfig(offset uint32, p []byte) {
	if int(offset) < len(d.config) {
		copy(p, d.config[offset:])
	}
}

func (d *device) WriteConfig(offset uint32, p []byte) {
	if int(offset) < len(d.config) {
		copy(d.config[offset:], p)
	}
}

func (d *device) Activate(a virtio.Activation) error {
	if d.stop != nil {
		return errors.New("activated twice")
	}
	stop := make(chan struct{})
	d.stop = stop
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active = nil
	for i, q := range a.Queues {
		if q == nil {
			continue
		}
		d.active = append(d.active, i)
		d.done.Go(func() {
			if err := echo(q, stop); err != nil {
				a.Broken(i, err)
			}
		})
	}
	return nil
}

func echo(q *virtio.Queue, stop <-chan struct{}) error {
	var c virtio.Chain
	for {
		// A chain may lead the device to write chains into its own ring, without end.
		select {
		case <-stop:
			return nil
		default:
		}
		ok, err := q.Pop(&c)
		if err != nil {
			return err
		}
		if ok {
			b := make([]byte, c.Readable.Len())
			c.Readable.CopyTo(b, 0)
			q.Push(&c, c.Writable.CopyFrom(b, 0))
			if err := q.Publish(); err != nil {
				return err
			}
			continue
		}
		if q.EnableKicks() {
			continue
		}
		select {
		case <-stop:
			return nil
		case <-q.Kick().C():
		}
	}
}

func (d *device) Stop() {
	if d.stop == nil {
		return
	}
	close(d.stop)
	d.done.Wait()
	d.stop = nil
	d.mu.Lock()
	d.active = nil
	d.mu.Unlock()
}

func (d *device) Reset() {
	d.Stop()
	d.mu.Lock()
	d.resets++
	d.mu.Unlock()
}

func (d *device) state() (active []int, resets int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.active, d.resets
}

// serve starts a session; end hangs up and returns what Serve returned.
func serve(t testing.TB, dev virtio.Device) (front *virtiotest.FrontEnd, end func() error) {
	t.Helper()
	front, back := virtiotest.NewFrontEnd(t)
	served := make(chan error, 1)
	go func() { served <- vhostuser.Serve(context.Background(), back, dev) }()
	var once sync.Once
	var err error
	end = func() error {
		once.Do(func() {
			_ = front.Conn.Close()
			err = <-served
		})
		return err
	}
	t.Cleanup(func() { _ = end() })
	return front, end
}

// roundTrip sends a chain through the ring and demands its echo.
func roundTrip(t *testing.T, r *virtiotest.Ring, text string) {
	t.Helper()
	out, in := r.Mem.Alloc(len(text)), r.Mem.Alloc(len(text))
	copy(r.Mem.At(out, len(text)), text)
	head, _ := r.Add(virtiotest.Buffer{Addr: out, Len: len(text)}, virtiotest.Buffer{Addr: in, Len: len(text), Write: true})
	r.Publish()
	if got, n := r.Wait(); got != head || n != len(text) || string(r.Mem.At(in, n)) != text {
		t.Fatalf("used chain %d with %d bytes, want %d with %q", got, n, head, text)
	}
}

func TestSession(t *testing.T) {
	dev := &device{}
	front, end := serve(t, dev)
	mem := virtiotest.NewMemory(t, 1<<20)
	first, second := virtiotest.NewRing(t, mem, 128, features), virtiotest.NewRing(t, mem, 64, features)

	front.Negotiate(features)
	front.SetMemory(mem)
	front.StartRing(0, first, 0)
	roundTrip(t, first, "one ring runs without the other")
	front.StartRing(1, second, 0)
	roundTrip(t, first, "first")
	roundTrip(t, second, "second")

	if base := front.StopRing(0); base != 2 {
		t.Errorf("base %d, want 2", base)
	}
	roundTrip(t, second, "one ring runs while the other is stopped")
	front.StartRing(0, first, 2)
	roundTrip(t, first, "again")
	if _, resets := dev.state(); resets != 0 {
		t.Errorf("%d resets", resets)
	}

	// The same memory once more, as a front end does when regions change.
	front.SetMemory(mem)
	roundTrip(t, first, "in new mappings")

	if err := end(); err != nil {
		t.Errorf("Serve = %v", err)
	}
	if active, resets := dev.state(); active != nil || resets != 1 {
		t.Errorf("after the end queues %v run, %d resets", active, resets)
	}
}

func TestEnableAndDisable(t *testing.T) {
	dev := &device{}
	front, _ := serve(t, dev)
	mem := virtiotest.NewMemory(t, 1<<20)
	r := virtiotest.NewRing(t, mem, 64, features)
	front.Negotiate(features)
	front.SetMemory(mem)
	for range 3 {
		do(t, front, virtiotest.MsgSetVringEnable, virtiotest.U32(0, 1))
	}
	// A kick that comes before anything is configured is not lost.
	r.Notify()
	front.StartRing(0, r, 0)
	roundTrip(t, r, "enabled")
	do(t, front, virtiotest.MsgSetVringEnable, virtiotest.U32(0, 0))
	if active, _ := dev.state(); active != nil {
		t.Errorf("queues %v run", active)
	}
	do(t, front, virtiotest.MsgSetVringEnable, virtiotest.U32(0, 1))
	roundTrip(t, r, "enabled again")
}

// A front end that does not acknowledge bit 30 never enables rings: they count as enabled.
func TestRingsAreEnabledWithoutBit30(t *testing.T) {
	front, _ := serve(t, &device{})
	mem := virtiotest.NewMemory(t, 1<<20)
	r := virtiotest.NewRing(t, mem, 64, features)
	front.Negotiate(features)
	do(t, front, virtiotest.MsgSetFeatures, virtiotest.U64(features))
	front.SetMemory(mem)
	front.ConfigureRing(0, r, 0)
	roundTrip(t, r, "not enabled by a message")
}

func TestCallDescriptorIsReplacedWhileRunning(t *testing.T) {
	front, _ := serve(t, &device{})
	mem := virtiotest.NewMemory(t, 1<<20)
	r, other := virtiotest.NewRing(t, mem, 64, features), virtiotest.NewRing(t, mem, 64, features)
	front.Negotiate(features)
	front.SetMemory(mem)
	front.StartRing(0, r, 0)
	roundTrip(t, r, "old")
	r.Call = other.Call
	do(t, front, virtiotest.MsgSetVringCall, virtiotest.U64(0), virtiotest.FD(r.Call))
	roundTrip(t, r, "new")
	do(t, front, virtiotest.MsgSetVringCall, virtiotest.U64(0|1<<8)) // none
}

func TestNewDriverResetsTheDevice(t *testing.T) {
	dev := &device{}
	front, _ := serve(t, dev)
	mem := virtiotest.NewMemory(t, 1<<20)
	front.Negotiate(features)
	front.SetMemory(mem)
	for round := range 3 {
		r := virtiotest.NewRing(t, mem, 64, features)
		front.StartRing(0, r, 0)
		roundTrip(t, r, "hello")
		front.StopRing(0)
		if _, resets := dev.state(); resets != round {
			t.Errorf("%d resets in round %d", resets, round)
		}
	}
	do(t, front, virtiotest.MsgResetDevice, nil)
	if _, resets := dev.state(); resets != 3 {
		t.Errorf("%d resets after RESET_DEVICE", resets)
	}
}

func TestConfig(t *testing.T) {
	front, _ := serve(t, &device{config: [16]byte{0: 1, 15: 16}})
	get := func(offset, n uint32) []byte {
		return front.Ask(virtiotest.MsgGetConfig, append(virtiotest.U32(offset, n, 0), make([]byte, n)...))
	}
	if b := get(0, 16); len(b) != 28 || b[12] != 1 || b[27] != 16 {
		t.Errorf("configuration %x", b)
	}
	if b := get(15, 4); len(b) != 16 || b[12] != 16 || b[13] != 0 {
		t.Errorf("configuration past its end %x", b)
	}
	if b := get(250, 10); len(b) != 0 {
		t.Errorf("configuration past 256 bytes %x", b)
	}
	if b := front.Ask(virtiotest.MsgGetConfig, virtiotest.U32(0, 4, 0)); len(b) != 0 {
		t.Errorf("configuration without room %x", b)
	}
	front.Negotiate(features)
	do(t, front, virtiotest.MsgSetConfig, append(virtiotest.U32(4, 2, 0), 7, 8))
	if b := get(4, 2); b[12] != 7 || b[13] != 8 {
		t.Errorf("configuration %x", b)
	}
	refused(t, front, virtiotest.MsgSetConfig, append(virtiotest.U32(255, 2, 0), 7, 8))
}

func TestQueueNumber(t *testing.T) {
	front, _ := serve(t, &device{})
	if n := binary.LittleEndian.Uint64(front.Ask(virtiotest.MsgGetQueueNum, nil)); n != 2 {
		t.Errorf("%d queues", n)
	}
}

func do(t *testing.T, f *virtiotest.FrontEnd, request uint32, payload []byte, fds ...int) {
	t.Helper()
	if err := f.Do(request, payload, fds...); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, f *virtiotest.FrontEnd, request uint32, payload []byte, fds ...int) {
	t.Helper()
	if err := f.Do(request, payload, fds...); err == nil {
		t.Errorf("message %d: accepted", request)
	}
}

func TestContextEndsServe(t *testing.T) {
	_, back := virtiotest.NewFrontEnd(t)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- vhostuser.Serve(ctx, back, &device{}) }()
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve = %v", err)
	}
}

// A front end that truncates the memory file under a running device breaks its queue, not the process.
func TestMemoryGoesAway(t *testing.T) {
	dev := &device{}
	front, end := serve(t, protected{dev})
	mem := virtiotest.NewMemory(t, 1<<20)
	r := virtiotest.NewRing(t, mem, 64, features)
	front.Negotiate(features)
	front.SetMemory(mem)
	front.StartRing(0, r, 0)
	roundTrip(t, r, "while it is there")
	broken := virtiotest.NewEvent(t)
	do(t, front, virtiotest.MsgSetVringErr, virtiotest.U64(0), virtiotest.FD(broken))
	if err := mem.File.Truncate(0); err != nil {
		t.Fatal(err)
	}
	r.Notify()
	if err := broken.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil {
		t.Errorf("Serve = %v", err)
	}
}

// protected runs the device's queue as device models have to.
type protected struct{ *device }

func (p protected) Activate(a virtio.Activation) error {
	stop := make(chan struct{})
	p.stop = stop
	p.done.Go(func() {
		if err := virtio.Protect(func() { _ = echo(a.Queues[0], stop) }); err != nil {
			a.Broken(0, err)
		}
	})
	return nil
}

func TestListener(t *testing.T) {
	path := t.TempDir() + "/front"
	l, err := vhostuser.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket: %v, %v", st, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Accept: %v", err)
	}

	l, err = vhostuser.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Accept = %v", err)
	}
}
