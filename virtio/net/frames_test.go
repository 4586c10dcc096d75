//go:build linux

package net

import (
	"errors"
	"testing"

	"github.com/voidbox-run/voidbox/link"
)

var (
	checksum4 = link.NetHeader{Flags: link.NetNeedsChecksum, ChecksumStart: 34, ChecksumOffset: 16}
	segments4 = link.NetHeader{
		Flags: link.NetNeedsChecksum, GSOType: link.NetGSOTCPv4, HeaderLen: 54, GSOSize: 1448, ChecksumStart: 34, ChecksumOffset: 16,
	}
)

func TestFramesToTheNetwork(t *testing.T) {
	g := boot(t, setup{})
	for i, c := range []struct {
		name string
		net  link.NetHeader
		size int
		cuts []int
	}{
		{"one descriptor", link.NetHeader{}, 60, nil},
		{"header apart", link.NetHeader{}, 1514, []int{12}},
		{"header in pieces", link.NetHeader{}, 1514, []int{1, 5, 11, 12, 13}},
		{"odd pieces", checksum4, 1514, []int{7, 77, 777}},
		{"shortest", link.NetHeader{}, 14, []int{12}},
		{"with a VLAN tag", link.NetHeader{}, 1518, []int{12}},
		{"segments", segments4, 65550, []int{12, 4096, 8192, 12288, 40000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.t = t
			f := numbered(i, c.size)
			f.net = c.net
			g.pairs[0].send(f.packet(), c.cuts...)
			wantFrame(t, g.next(0), f)
		})
	}
	g.pairs[0].drain()
	if m := g.dev.Metrics(); m.TxFrames != 7 || m.TxInvalid != 0 {
		t.Errorf("metrics %+v", m)
	}
}

func TestFramesToTheGuest(t *testing.T) {
	const mergeable, whole = 0, featureMergeRX
	for _, c := range []struct {
		name    string
		without uint64
		room    int
		net     link.NetHeader
		size    int
		buffers int
	}{
		{"one buffer", mergeable, 2048, link.NetHeader{}, 1514, 1},
		{"exactly one buffer", mergeable, 1526, link.NetHeader{}, 1514, 1},
		{"one byte too many", mergeable, 1525, link.NetHeader{}, 1514, 2},
		{"buffers of a header", mergeable, headerSize, link.NetHeader{}, 60, 6},
		{"segments", mergeable, 1536, segments4, 65550, 43},
		{"whole", whole, 2048, checksum4, 1514, 1},
		{"segments in one buffer", whole, 65562, segments4, 65550, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := boot(t, setup{without: c.without, rxRoom: c.room})
			for i := range 3 {
				f := numbered(i, c.size)
				f.net = c.net
				g.deliver(0, f)
				got, n := g.pairs[0].take()
				if n != c.buffers || int(got.net.NumBuffers) != n {
					t.Errorf("%d buffers, said to be %d; want %d", n, got.net.NumBuffers, c.buffers)
				}
				wantFrame(t, got, f)
				g.pairs[0].offer(n)
			}
		})
	}
}

// What means nothing in a header does not get through.
func TestHeadersAreTidied(t *testing.T) {
	g := boot(t, setup{})
	f := numbered(1, 100)
	f.net = link.NetHeader{Flags: 0xfe, HeaderLen: 1, GSOSize: 2, ChecksumStart: 3, ChecksumOffset: 4, NumBuffers: 5}
	g.pairs[0].send(f.packet())
	wantFrame(t, g.next(0), frame{data: f.data})
	g.deliver(0, f)
	wantFrame(t, g.pairs[0].receive(), frame{net: link.NetHeader{Flags: link.NetDataValid}, data: f.data})
}

// A full link costs no frame, and does not keep the guest from receiving.
func TestFullLinkLeavesChainsInTheQueue(t *testing.T) {
	g := boot(t, setup{ringSize: link.MinRing})
	p := g.pairs[0]
	const size = 1514
	sent := 0
	for p.add(numbered(sent, size).packet()) { // more than the link takes
		sent++
	}
	p.tx.Publish()
	for fits := link.MinRing / (size + 48); len(p.txSlot) > sent-fits; {
		p.done(p.tx.Wait())
	}
	f := numbered(4711, 100)
	g.deliver(0, f)
	wantFrame(t, p.receive(), f)
	p.reap()
	if taken := sent - len(p.txSlot); taken > link.MinRing/size {
		t.Fatalf("the device took %d frames of %d bytes for a ring of %d", taken, size, link.MinRing)
	}
	for i := range sent {
		wantFrame(t, g.next(0), numbered(i, size))
	}
	p.drain()
}

// A guest without buffers puts pressure back on the network, and loses nothing.
func TestFramesWaitForBuffers(t *testing.T) {
	g := boot(t, setup{rxBufs: -1, ringSize: link.MinRing})
	n := g.flood(0, 1514)
	f := numbered(4711, 100)
	g.pairs[0].send(f.packet())
	wantFrame(t, g.next(0), f)
	if err := g.tryDeliver(0, numbered(n, 1514)); !errors.Is(err, link.ErrFull) {
		t.Fatalf("the ring has room again, though the guest took nothing: %v", err)
	}
	for i := range n {
		g.pairs[0].offer(1)
		got, _ := g.pairs[0].take()
		wantFrame(t, got, numbered(i, 1514))
	}
	g.pairs[0].offer(4)
	g.wantAlive()
}

func TestMergeableFrameWaitsForItsLastBuffer(t *testing.T) {
	g := boot(t, setup{rxBufs: 2, rxRoom: 512})
	g.deliver(0, numbered(1, 1500), numbered(2, 60))
	g.pairs[0].offer(1) // 1512 bytes are needed
	got, n := g.pairs[0].take()
	if n != 3 {
		t.Fatalf("%d buffers, want 3", n)
	}
	wantFrame(t, got, numbered(1, 1500))
	g.pairs[0].offer(1)
	got, _ = g.pairs[0].take()
	wantFrame(t, got, numbered(2, 60))
}

func TestFrameThatNeverFitsIsDropped(t *testing.T) {
	for _, c := range []struct {
		name    string
		without uint64
		room    int
	}{
		{"whole", featureMergeRX, 200},
		{"mergeable", 0, 16}, // 64 buffers of 16 bytes are all that the ring has
	} {
		t.Run(c.name, func(t *testing.T) {
			g := boot(t, setup{without: c.without, rxRoom: c.room})
			g.deliver(0, numbered(1, 60), numbered(2, 1514), numbered(3, 60))
			wantFrame(t, g.pairs[0].receive(), numbered(1, 60))
			wantFrame(t, g.pairs[0].receive(), numbered(3, 60))
			if m := g.dev.Metrics(); m.RxTooLarge != 1 || m.RxFrames != 2 {
				t.Errorf("metrics %+v", m)
			}
		})
	}
}
