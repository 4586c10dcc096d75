//go:build linux

package link

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestFrameCrossesUnchanged(t *testing.T) {
	device, plugin := framesPair(t)
	h := NetHeader{Flags: NetNeedsChecksum, GSOType: NetGSOTCPv4, HeaderLen: 54, GSOSize: 1448, ChecksumStart: 34, ChecksumOffset: 16, NumBuffers: 1}
	for _, dir := range []struct {
		w *Writer
		r *Reader
	}{{device.Lane(0).Out, plugin.Lane(0).In}, {plugin.Lane(0).Out, device.Lane(0).In}} {
		for _, n := range []int{0, 1, 15, 16, 17, 60, 1514, 9000} {
			want := bytes.Repeat([]byte{byte(n)}, n)
			sendFrame(t, dir.w, h, want)
			mustBeEmpty(t, dir.r) // nothing is seen before Publish
			publish(t, dir.w)
			var rec Record
			mustNext(t, dir.r, &rec)
			if rec.Kind != KindFrame || rec.Epoch != 1 || rec.Net != h || !bytes.Equal(rec.Payload, want) {
				t.Fatalf("%d bytes: got %v, %+v, %d bytes", n, rec.Kind, rec.Net, len(rec.Payload))
			}
			if cap(rec.Payload) != len(rec.Payload) {
				t.Fatalf("the payload's slice reaches %d bytes further", cap(rec.Payload)-len(rec.Payload))
			}
			dir.r.Release()
		}
	}
}

func TestNetHeaderIsVirtios(t *testing.T) {
	h := NetHeader{Flags: 1, GSOType: 4, HeaderLen: 0x0302, GSOSize: 0x0504, ChecksumStart: 0x0706, ChecksumOffset: 0x0908, NumBuffers: 0x0b0a}
	want := [NetHeaderSize]byte{1, 4, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	if got := h.Bytes(); got != want {
		t.Errorf("encoded %v, want %v", got, want)
	}
	if got := ParseNetHeader(want); got != h {
		t.Errorf("decoded %+v, want %+v", got, h)
	}
}

func TestNetHeaderCheck(t *testing.T) {
	tso := NetHeader{Flags: NetNeedsChecksum, GSOType: NetGSOTCPv4, GSOSize: 1448, HeaderLen: 54, ChecksumStart: 34, ChecksumOffset: 16}
	with := func(f func(*NetHeader)) NetHeader { h := tso; f(&h); return h }
	cases := []struct {
		name string
		h    NetHeader
		f    Features
		to   Towards
		ok   bool
	}{
		{"plain", NetHeader{}, 0, TowardsGuest, true},
		{"agreed", tso, FeatureChecksum | FeatureTSO4, TowardsNetwork, true},
		{"agreed, other way", tso, FeatureGuestChecksum | FeatureGuestTSO4, TowardsGuest, true},
		{"agreed the wrong way", tso, FeatureChecksum | FeatureTSO4, TowardsGuest, false},
		{"checksum not agreed", tso, FeatureTSO4, TowardsNetwork, false},
		{"other TSO agreed", tso, FeatureChecksum | FeatureTSO6, TowardsNetwork, false},
		{"ECN", with(func(h *NetHeader) { h.GSOType |= NetGSOECN }), NetFeatures, TowardsNetwork, true},
		{"ECN alone", NetHeader{GSOType: NetGSOECN}, NetFeatures, TowardsNetwork, false},
		{"UDP fragmentation", with(func(h *NetHeader) { h.GSOType = 3 }), NetFeatures, TowardsNetwork, false},
		{"no segment size", with(func(h *NetHeader) { h.GSOSize = 0 }), NetFeatures, TowardsNetwork, false},
		{"no partial checksum", with(func(h *NetHeader) { h.Flags = 0 }), NetFeatures, TowardsNetwork, false},
		{"checksum at the last bytes", with(func(h *NetHeader) { h.ChecksumStart = 1498 - 16 }), NetFeatures, TowardsNetwork, true},
		{"checksum one too far", with(func(h *NetHeader) { h.ChecksumStart = 1499 - 16 }), NetFeatures, TowardsNetwork, false},
		{"checksum overflows", with(func(h *NetHeader) { h.ChecksumStart, h.ChecksumOffset = 0xffff, 0xffff }), NetFeatures, TowardsNetwork, false},
		{"header longer than frame", with(func(h *NetHeader) { h.HeaderLen = 1501 }), NetFeatures, TowardsNetwork, false},
	}
	for _, c := range cases {
		if err := c.h.Check(1500, c.f, c.to); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestFullRingAndWait(t *testing.T) {
	device, plugin := framesPair(t)
	w, r := device.Lane(0).Out, plugin.Lane(0).In
	payload := make([]byte, 9000)
	sent := 0
	for {
		_, err := w.TryReserve(KindFrame, len(payload))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		w.CommitFrame(NetHeader{}, len(payload))
		sent++
	}
	if want := MinRing / int(recordSize(9000)); sent != want {
		t.Fatalf("%d frames fitted, want %d", sent, want)
	}
	waited := make(chan error, 1)
	go func() { waited <- w.Wait(testContext(t), KindFrame, len(payload)) }() // publishes, too
	var rec Record
	for range sent {
		mustNext(t, r, &rec)
	}
	r.Release()
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	sendFrame(t, w, NetHeader{}, payload)
}

func TestTooLarge(t *testing.T) {
	device, _ := framesPair(t)
	for _, n := range []int{-1, 9001, 1 << 40} {
		if _, err := device.Lane(0).Out.TryReserve(KindFrame, n); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestBusyReaderIsNotKicked(t *testing.T) {
	device, plugin := framesPair(t)
	w, r := device.Lane(0).Out, plugin.Lane(0).In
	var rec Record
	for range 1000 {
		sendFrame(t, w, NetHeader{}, []byte("x"))
		publish(t, w)
		mustNext(t, r, &rec)
		r.Release()
	}
	kicks := func(e *event) (n int) {
		e.fd(func(fd uintptr) { n, _ = takeCounter(fd) })
		return n
	}
	if kicks(r.ready) != 0 || kicks(w.space) != 0 {
		t.Error("an end that never slept was kicked")
	}
	r.ring.dataEvent.Store(r.prod) // as Wait does before it sleeps
	sendFrame(t, w, NetHeader{}, []byte("x"))
	publish(t, w)
	if kicks(r.ready) == 0 {
		t.Error("a sleeping end was not kicked")
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	device, plugin := framesPair(t)
	w, r := device.Lane(0).Out, plugin.Lane(0).In
	for range 3 { // each time with another context, as callers may
		ctx, cancel := context.WithCancel(context.Background())
		waited := make(chan error, 1)
		go func() { waited <- r.Wait(ctx) }()
		cancel()
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Fatalf("Wait: %v", err)
		}
	}
	sendFrame(t, w, NetHeader{}, []byte("still works"))
	publish(t, w)
	var rec Record
	mustNext(t, r, &rec)
}

func TestCloseWakesBothEnds(t *testing.T) {
	device, plugin := framesPair(t)
	ctx := testContext(t)
	for {
		if _, err := device.Lane(0).Out.TryReserve(KindFrame, 9000); err != nil {
			break
		}
		device.Lane(0).Out.CommitFrame(NetHeader{}, 9000)
	}
	errs := make(chan error, 4)
	go func() { errs <- device.Lane(0).Out.Wait(ctx, KindFrame, 9000) }()
	go func() { errs <- device.Lane(0).In.Wait(ctx) }()
	go func() {
		var rec Record
		r := plugin.Lane(0).In
		for {
			for {
				ok, err := r.Next(&rec)
				if err != nil {
					errs <- err
					return
				}
				if !ok {
					break
				}
			}
			if err := func() error { return r.ready.wait(ctx, plugin) }(); err != nil {
				errs <- err
				return
			}
		}
	}()
	go func() { <-plugin.Done(); errs <- plugin.Err() }()
	_ = device.Break(ErrClosed)
	var closed, gone int
	for range 4 {
		switch err := <-errs; {
		case errors.Is(err, ErrClosed):
			closed++
		case errors.Is(err, ErrPeerGone):
			gone++
		default:
			t.Error(err)
		}
	}
	if closed != 2 || gone != 2 {
		t.Errorf("%d saw it closed, %d saw the peer gone", closed, gone)
	}
}

func TestAfterClose(t *testing.T) {
	device, _ := framesPair(t)
	if _, err := device.Lane(0).Out.TryReserve(KindFrame, 10); err != nil {
		t.Fatal(err)
	}
	device.Close()
	device.Close()
	device.Lane(0).Out.CommitFrame(NetHeader{}, 10)
	var rec Record
	lane := device.Lane(0)
	if _, err := lane.In.Next(&rec); !errors.Is(err, ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	lane.In.Release()
	if err := lane.In.Wait(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait: %v", err)
	}
	if _, err := lane.Out.TryReserve(KindFrame, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("TryReserve: %v", err)
	}
	if err := lane.Out.Publish(); !errors.Is(err, ErrClosed) {
		t.Errorf("Publish: %v", err)
	}
	if err := device.NewEpoch(0); !errors.Is(err, ErrClosed) {
		t.Errorf("NewEpoch: %v", err)
	}
}

func TestListenDialRedial(t *testing.T) {
	ctx := testContext(t)
	path := filepath.Join(t.TempDir(), "link")
	before := openFDs(t)
	listener, err := Listen(path, Terms{Purpose: Frames, Features: FeatureChecksum | FeatureTSO4})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o700 {
		t.Fatalf("socket has mode %v (%v)", info.Mode(), err)
	}
	accepted := make(chan *Link, 2)
	accept := func() {
		l, err := listener.Accept(ctx)
		if err != nil {
			t.Error(err)
		}
		accepted <- l
	}
	go accept()
	device, err := Dial(ctx, path, Ask{Purpose: Frames, Lanes: 3, Features: FeatureChecksum | FeatureTSO6, Epoch: 7})
	if err != nil {
		t.Fatal(err)
	}
	plugin := <-accepted
	if device.Features() != FeatureChecksum || plugin.Features() != FeatureChecksum || device.Lanes() != 3 || plugin.Lanes() != 3 {
		t.Errorf("agreed on %#x, %#x, %d and %d lanes", device.Features(), plugin.Features(), device.Lanes(), plugin.Lanes())
	}
	if device.Epoch() != 7 || plugin.Epoch() != 7 {
		t.Errorf("epochs %d and %d", device.Epoch(), plugin.Epoch())
	}
	if err := device.NewEpoch(FeatureChecksum); err != nil {
		t.Fatal(err)
	}

	plugin.Close() // the peer dies
	<-device.Done()
	if !errors.Is(device.Err(), ErrPeerGone) {
		t.Errorf("error %v", device.Err())
	}
	go accept()
	again, err := device.Redial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	device.Close()
	plugin = <-accepted
	if again.Epoch() != 9 || plugin.Epoch() != 9 || again.Features() != FeatureChecksum {
		t.Errorf("epochs %d and %d, features %#x", again.Epoch(), plugin.Epoch(), again.Features())
	}
	sendFrame(t, again.Lane(2).Out, NetHeader{}, []byte("hello again"))
	publish(t, again.Lane(2).Out)
	var rec Record
	mustNext(t, plugin.Lane(2).In, &rec)
	if string(rec.Payload) != "hello again" || rec.Epoch != 9 {
		t.Errorf("got %q of epoch %d", rec.Payload, rec.Epoch)
	}
	again.Close()
	plugin.Close()
	_ = listener.Close()
	if _, err := listener.Accept(ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if after := openFDs(t); after > before+1 { // the runtime's poller may have opened one of its own
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestAcceptEndsWithItsContext(t *testing.T) {
	listener, err := Listen(filepath.Join(t.TempDir(), "link"), Terms{Purpose: Frames})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		accepted := make(chan error, 1)
		go func() { _, err := listener.Accept(ctx); accepted <- err }()
		cancel()
		if err := <-accepted; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

func TestDataPathAllocatesNothing(t *testing.T) {
	device, plugin := framesPair(t)
	payload := make([]byte, 1500)
	var rec Record
	ctx := testContext(t)
	r := plugin.Lane(0).In
	n := testing.AllocsPerRun(1000, func() {
		w := device.Lane(0).Out
		for range 20 {
			sendFrame(t, w, NetHeader{}, payload)
		}
		publish(t, w)
		for range 20 {
			if ok, err := r.Next(&rec); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		r.Release()
	})
	if n != 0 {
		t.Errorf("a batch of frames costs %v allocations", n)
	}

	// Both ends sleep and are woken for each frame.
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		in, out := plugin.Lane(0).In, plugin.Lane(0).Out
		var rec Record
		for in.Wait(ctx) == nil {
			for {
				ok, err := in.Next(&rec)
				if !ok || err != nil {
					break
				}
				sendFrame(t, out, NetHeader{}, rec.Payload)
			}
			if out.Publish() != nil {
				return
			}
		}
	}()
	in := device.Lane(0).In
	round := func() {
		sendFrame(t, device.Lane(0).Out, NetHeader{}, payload[:64])
		publish(t, device.Lane(0).Out)
		for {
			if ok, err := in.Next(&rec); err != nil {
				t.Fatal(err)
			} else if ok {
				break
			}
			if err := in.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	round() // the first wait with a context registers it
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("a frame there and back costs %v allocations", n)
	}
	_ = device.Break(ErrClosed)
	<-echoed
}

func TestRequestPathAllocatesNothing(t *testing.T) {
	device, plugin := requestsPair(t, 4)
	var rec Record
	n := testing.AllocsPerRun(1000, func() {
		tag := request(t, device.Lane(0), 64, []byte("request"))
		in, out := plugin.Lane(0).In, plugin.Lane(0).Out
		if ok, err := in.Next(&rec); !ok || err != nil || rec.Tag != tag {
			t.Fatal(ok, err)
		}
		in.Release()
		reply(t, out, tag, []byte("reply"))
		if ok, err := device.Lane(0).In.Next(&rec); !ok || err != nil || rec.Tag != tag {
			t.Fatal(ok, err)
		}
		device.Lane(0).In.Release()
	})
	if n != 0 {
		t.Errorf("a request and its reply cost %v allocations", n)
	}
}
