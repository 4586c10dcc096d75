//go:build linux

package net

import (
	"testing"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// lies are headers of frames of 100 bytes that break the rules in either direction.
var lies = []struct {
	name string
	size int
	net  link.NetHeader
}{
	{"no frame", 0, link.NetHeader{}},
	{"part of an Ethernet header", 13, link.NetHeader{}},
	{"larger than the MTU", 1519, link.NetHeader{}},
	{"checksum outside the frame", 100, link.NetHeader{Flags: 1, ChecksumStart: 99}},
	{"checksum that overflows", 100, link.NetHeader{Flags: 1, ChecksumStart: 0xffff, ChecksumOffset: 0xffff}},
	{"UDP fragmentation", 100, link.NetHeader{Flags: 1, GSOType: 3, GSOSize: 10}},
	{"unknown segmentation", 100, link.NetHeader{Flags: 1, GSOType: 5, GSOSize: 10}},
	{"segments of 0 bytes", 100, link.NetHeader{Flags: 1, GSOType: 1}},
	{"segments without a checksum", 100, link.NetHeader{GSOType: 1, GSOSize: 10}},
	{"congestion without segments", 100, link.NetHeader{GSOType: link.NetGSOECN}},
	{"header longer than the frame", 100, link.NetHeader{Flags: 1, GSOType: 4, GSOSize: 10, HeaderLen: 101}},
}

func TestLyingGuest(t *testing.T) {
	g := boot(t, setup{})
	for i, c := range lies {
		t.Run(c.name, func(t *testing.T) {
			g.t = t
			g.pairs[0].send(frame{c.net, make([]byte, c.size)}.packet())
			g.wantAlive()
			if m := g.dev.Metrics(); m.TxInvalid != uint64(i+1) {
				t.Errorf("metrics %+v", m)
			}
		})
	}
	n := g.dev.Metrics().TxInvalid
	for _, packet := range [][]byte{make([]byte, 1), make([]byte, headerSize-1), make([]byte, headerSize), make([]byte, 70<<10)} {
		g.pairs[0].send(packet)
		g.wantAlive()
		if n++; g.dev.Metrics().TxInvalid != n {
			t.Errorf("a packet of %d bytes: metrics %+v", len(packet), g.dev.Metrics())
		}
	}
}

func TestLyingPlugin(t *testing.T) {
	g := boot(t, setup{})
	for i, c := range lies {
		t.Run(c.name, func(t *testing.T) {
			g.t = t
			g.deliver(0, frame{c.net, make([]byte, c.size)})
			g.wantAlive()
			if m := g.dev.Metrics(); m.RxInvalid != uint64(i+1) {
				t.Errorf("metrics %+v", m)
			}
		})
	}
}

// Offloads that were not agreed on are lies too, in whichever way they were not agreed on.
func TestOffloadsThatWereNotAgreedOn(t *testing.T) {
	for _, c := range []struct {
		name string
		set  setup
	}{
		{"the plugin knows none", setup{knows: 1 << 63}},
		{"the driver wants none", setup{without: uint64(link.NetFeatures)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := boot(t, c.set)
			if g.agreed != 0 {
				t.Errorf("the plugin was told of offloads %#x", g.agreed)
			}
			for _, h := range []link.NetHeader{checksum4, segments4} {
				f := numbered(1, 1000)
				f.net = h
				g.pairs[0].send(f.packet())
				g.deliver(0, f)
			}
			g.wantAlive()
			if m := g.dev.Metrics(); m.TxInvalid != 2 || m.RxInvalid != 2 {
				t.Errorf("metrics %+v", m)
			}
			// Without VIRTIO_NET_F_GUEST_CSUM the guest sees no flags at all.
			f := numbered(2, 100)
			f.net.Flags = link.NetDataValid
			g.deliver(0, f)
			wantFrame(t, g.pairs[0].receive(), numbered(2, 100))
		})
	}
}

func TestOffersOnlyWhatIsUseful(t *testing.T) {
	const all = link.NetFeatures
	for _, c := range []struct {
		name    string
		knows   link.Features
		payload int
		want    link.Features
	}{
		{"all", all, 1 << 16 << 1, all},
		{"segments need checksums", all &^ link.FeatureChecksum &^ link.FeatureGuestChecksum, 1 << 17, 0},
		{"segments need large frames", all, 65552, link.FeatureChecksum | link.FeatureGuestChecksum},
		{"just large enough", all, 65553, all},
		{"bits that are none", 1<<63 | 1<<5 | link.FeatureChecksum, 1 << 17, link.FeatureChecksum},
	} {
		if got := offered(c.knows, c.payload); got != c.want {
			t.Errorf("%s: offers %#x, want %#x", c.name, got, c.want)
		}
	}
}

// A receive buffer that does not hold a header breaks the queue, and a reset mends it.
func TestReceiveBufferWithoutRoomForAHeader(t *testing.T) {
	g := boot(t, setup{rxBufs: -1})
	rx := g.pairs[0].rx
	rx.Add(virtiotest.Buffer{Addr: g.pairs[0].rxAt, Len: headerSize - 1, Write: true})
	rx.Publish()
	g.drv.WaitConfig()
	if s := g.drv.Get(virtiotest.RegStatus); s&virtiotest.StatusNeedsReset == 0 {
		t.Fatalf("status %#x", s)
	}
	g.set.rxBufs = 4
	g.start()
	g.wantAlive()
}

// Chains that no driver makes: only readable to receive, writable to transmit.
func TestChainsOfTheWrongKind(t *testing.T) {
	g := boot(t, setup{})
	p := g.pairs[0]
	f := numbered(1, 100)
	copy(g.drv.Mem.At(p.txAt, 112), f.packet())
	head, _ := p.tx.Add(virtiotest.Buffer{Addr: p.txAt, Len: 112}, virtiotest.Buffer{Addr: p.txAt + 4096, Len: 4096, Write: true})
	p.tx.Publish()
	wantFrame(t, g.next(0), f)
	if got, n := p.tx.Wait(); got != head || n != 0 {
		t.Errorf("head %d, %d bytes", got, n)
	}
	head, _ = p.tx.Add(virtiotest.Buffer{Addr: p.txAt, Len: 112, Write: true})
	p.tx.Publish()
	if got, n := p.tx.Wait(); got != head || n != 0 {
		t.Errorf("head %d, %d bytes", got, n)
	}
	g.wantAlive()
}

func TestAbuse(t *testing.T) {
	virtiotest.Abuse(t, func(t testing.TB) virtio.Device {
		dev, plugin := setup{pairs: 2}.newDevice(t, nil)
		for i := range 2 {
			done := make(chan struct{})
			go echoFrames(plugin, i, -1, done)
			t.Cleanup(func() { plugin.Break(link.ErrClosed); <-done })
		}
		return dev
	})
}
