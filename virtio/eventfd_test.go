//go:build linux

package virtio_test

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// pending reports whether the event has been signalled, and clears it.
func pending(e *virtio.EventFD) bool {
	raw, err := e.File().SyscallConn()
	if err != nil {
		return false
	}
	var n int
	_ = raw.Control(func(fd uintptr) {
		var b [8]byte
		n, _ = unix.Read(int(fd), b[:])
	})
	return n == 8
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEventKickDeliversAndCloses(t *testing.T) {
	e, err := virtio.NewEventFD()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Signal(); err != nil { // before anybody listens
		t.Fatal(err)
	}
	k := virtio.NewEventKick(e)
	for range 3 {
		select {
		case <-k.C():
		case <-time.After(30 * time.Second):
			t.Fatal("no kick")
		}
		if err := e.Signal(); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Signal(); err == nil {
		t.Error("Signal works after Close")
	}
}

// TestEventKickWaits has a goroutine wait without a channel: for kicks that come at any time, the earliest and those between its look
// and its sleep included, for Wake, and for nothing any more after Close.
func TestEventKickWaits(t *testing.T) {
	e, err := virtio.NewEventFD()
	if err != nil {
		t.Fatal(err)
	}
	k := virtio.NewEventKick(e)
	var due, seen atomic.Int64
	looked := make(chan struct{}, 1)
	ready := func() bool {
		select {
		case looked <- struct{}{}:
		default:
		}
		return due.Load() != seen.Load()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for k.Wait(ready) {
			seen.Store(due.Load())
		}
	}()
	for n := range int64(2000) {
		due.Add(1)
		if n%2 == 0 {
			k.Wake()
		} else if err := e.Signal(); err != nil {
			t.Fatal(err)
		}
		if n%3 == 0 {
			<-looked // as near to its sleep as can be
		}
		for seen.Load() != due.Load() {
			runtime.Gosched()
		}
	}
	<-looked
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if k.Wait(func() bool { return false }) {
		t.Error("Wait goes on after Close")
	}
}

func TestSignalOfFullCounterDoesNotBlock(t *testing.T) {
	e, err := virtio.NewEventFD()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.File().Write([]byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if err := e.Signal(); err != nil {
		t.Errorf("Signal = %v", err)
	}
}

func TestOpenEventFDRefusesFiles(t *testing.T) {
	fd, err := unix.MemfdCreate("file", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := virtio.OpenEventFD(fd); err == nil {
		_ = e.Close()
		t.Error("a regular file was accepted")
	}
	if err := unix.Close(fd); err == nil {
		t.Error("the refused descriptor is still open")
	}
}

func TestProtect(t *testing.T) {
	fd, err := unix.MemfdCreate("guest", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 8192); err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(fd, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	if err := unix.Ftruncate(fd, 4096); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 100)
	if err := virtio.Protect(func() { copy(dst, b[5000:]) }); !errors.Is(err, virtio.ErrMemoryGone) {
		t.Errorf("Protect = %v, want ErrMemoryGone", err)
	}
	wantPanic(t, "a bug of ours", func() { _ = virtio.Protect(func() { panic("bug") }) })
	wantPanic(t, "a nil pointer", func() { _ = virtio.Protect(func() { var p *virtio.Chain; p.Head = 1 }) })
}
