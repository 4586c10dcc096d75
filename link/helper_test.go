//go:build linux

package link

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/fdpass"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is the safety net of tests that would hang.
const patience = time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func socketPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	a, b, err := fdpass.Pair(unix.SOCK_SEQPACKET)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// newPair returns the two ends of a link.
func newPair(t testing.TB, terms Terms, ask Ask) (device, plugin *Link) {
	t.Helper()
	ctx := testContext(t)
	a, b := socketPair(t)
	offered := make(chan error, 1)
	go func() {
		var err error
		plugin, err = Offer(ctx, b, terms)
		offered <- err
	}()
	device, err := Connect(ctx, a, ask)
	if oerr := <-offered; err != nil || oerr != nil {
		t.Fatal(err, oerr)
	}
	t.Cleanup(func() { device.Close(); plugin.Close() })
	return device, plugin
}

func framesPair(t testing.TB) (device, plugin *Link) {
	return newPair(t, Terms{Purpose: Frames, RingSize: MinRing, MaxPayload: 9000, Features: NetFeatures},
		Ask{Purpose: Frames, Lanes: 1, Features: NetFeatures, Epoch: 1})
}

func requestsPair(t testing.TB, credits uint32) (device, plugin *Link) {
	return newPair(t, Terms{Purpose: Requests, RingSize: MinRing, MaxPayload: 4096, Credits: credits},
		Ask{Purpose: Requests, Lanes: 2, Epoch: 1})
}

// heapPair returns two ends over ordinary memory, in which the race detector sees what it cannot see in a mapping.
func heapPair(t testing.TB, s settled) (device, plugin *Link) {
	t.Helper()
	mem := make([]byte, s.geo.size())
	for i := range s.geo.lanes {
		up, down := s.geo.rings(mem, i)
		up.init()
		down.init()
	}
	var ends [2][]*event
	for range s.geo.lanes * eventsPerLane {
		e, err := newEvent()
		if err != nil {
			t.Fatal(err)
		}
		var dup int
		e.fd(func(fd uintptr) { dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
		if err != nil {
			t.Fatal(err)
		}
		other, err := openEvent(dup)
		if err != nil {
			t.Fatal(err)
		}
		ends[0], ends[1] = append(ends[0], e), append(ends[1], other)
	}
	if err := errors.Join(prepareWaits(ends[0], true), prepareWaits(ends[1], false)); err != nil {
		t.Fatal(err)
	}
	a, b := socketPair(t)
	plugin = assemble(s, b, mem, ends[1])
	s.device = true
	device = assemble(s, a, mem, ends[0])
	device.mem, plugin.mem = nil, nil // not theirs to unmap
	device.watch.Go(device.watchPeer)
	plugin.watch.Go(plugin.watchPeer)
	t.Cleanup(func() { device.Close(); plugin.Close() })
	return device, plugin
}

func sendFrame(t testing.TB, w *Writer, h NetHeader, payload []byte) {
	t.Helper()
	buf, err := w.TryReserve(KindFrame, len(payload))
	if err != nil {
		t.Fatal(err)
	}
	copy(buf, payload)
	w.CommitFrame(h, len(payload))
}

func publish(t testing.TB, w *Writer) {
	t.Helper()
	if err := w.Publish(); err != nil {
		t.Fatal(err)
	}
}

// mustNext waits for a record.
func mustNext(t testing.TB, r *Reader, rec *Record) {
	t.Helper()
	ctx := testContext(t)
	for {
		ok, err := r.Next(rec)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return
		}
		if err := r.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func mustBeEmpty(t testing.TB, r *Reader) {
	t.Helper()
	var rec Record
	if ok, err := r.Next(&rec); ok || err != nil {
		t.Fatalf("record %+v, error %v; want neither", rec, err)
	}
}

func openFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
