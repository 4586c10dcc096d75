//go:build linux

package net

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"testing"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// fuzzRun is a device between a link and rings that nobody serves: the target does what its goroutines do.
func fuzzRun(f *testing.F) (r *run, plugin *link.Link) {
	device, plugin := virtiotest.NewLink(f, link.Terms{Purpose: link.Frames, Features: link.NetFeatures}, Ask(1))
	d, err := New(Config{MAC: testMAC, Link: device, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = d.Close() })
	return &run{d: d, a: virtio.Activation{Features: uint64(link.NetFeatures) | featureMTU}}, plugin
}

func addSeeds(f *testing.F) {
	f.Add([]byte{}, uint16(0), uint16(0))
	f.Add(numbered(1, 14).packet(), uint16(12), uint16(0))
	for i, l := range lies {
		f.Add(frame{l.net, make([]byte, l.size)}.packet(), uint16(i), ^uint16(0))
	}
	for _, h := range []link.NetHeader{checksum4, segments4} {
		f.Add(frame{h, make([]byte, 3000)}.packet(), uint16(100), ^uint16(0))
	}
}

// FuzzTransmit sends the fuzzer's packets: header and frame, in two descriptors. What comes out at the plugin is the frame, with a
// header that holds for the offloads that were agreed on and says nothing else.
func FuzzTransmit(f *testing.F) {
	addSeeds(f)
	r, plugin := fuzzRun(f)
	in := plugin.Lane(0).In
	f.Fuzz(func(t *testing.T, packet []byte, cut, agreed uint16) {
		tx := newTransmitter(r, 0, nil)
		tx.agreed = link.Features(agreed) & link.NetFeatures
		at := min(int(cut), len(packet))
		if !tx.frame(virtio.Segments{packet[:at], packet[at:]}) {
			t.Fatal("the link is full, and nothing is in it")
		}
		tx.publish()
		var rec link.Record
		ok, err := in.Next(&rec)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		defer in.Release()
		checkHeader(t, rec.Net, len(rec.Payload), tx.agreed, link.TowardsNetwork)
		if !bytes.Equal(rec.Payload, packet[headerSize:]) || rec.Net.Flags&^link.NetNeedsChecksum != 0 || rec.Net.NumBuffers != 0 {
			t.Fatalf("frame %+v % x of a packet % x", rec.Net, rec.Payload, packet)
		}
	})
}

func checkHeader(t *testing.T, h link.NetHeader, n int, agreed link.Features, to link.Towards) {
	if err := h.Check(n, agreed, to); err != nil {
		t.Fatalf("header %+v: %v", h, err)
	}
	if h.GSOType == link.NetGSONone && (h.GSOSize != 0 || h.HeaderLen != 0 || n > defaultMTU+vlanHeader) {
		t.Fatalf("header %+v of a frame of %d bytes that needs no segmentation", h, n)
	}
	if h.Flags&link.NetNeedsChecksum == 0 && (h.ChecksumStart != 0 || h.ChecksumOffset != 0) {
		t.Fatalf("header %+v without a checksum", h)
	}
}

// FuzzReceive has the plugin send the fuzzer's packets to a guest with some buffers of some size. What the guest gets is the
// frame, in as many buffers as its header says; what it does not get is counted, or waits.
func FuzzReceive(f *testing.F) {
	addSeeds(f)
	r, plugin := fuzzRun(f)
	mem := virtiotest.NewMemory(f, 1<<20)
	ring := virtiotest.NewRing(f, mem, 64, virtio.FeatureVersion1)
	data := mem.Alloc(64 * 8192)
	out := plugin.Lane(0).Out
	f.Fuzz(func(t *testing.T, packet []byte, shape, agreed uint16) {
		if len(packet) < headerSize {
			return
		}
		ring.Clear()
		rx := newReceiver(r, 0, ring.Queue(t, 0), false)
		rx.agreed, rx.mergeable = link.Features(agreed)&link.NetFeatures, agreed&1<<15 != 0
		count, room := 1+int(shape&63), headerSize+int(shape>>6)*8
		for i := range count {
			ring.Add(virtiotest.Buffer{Addr: data + uint64(i*8192), Len: room, Write: true})
		}
		ring.Publish()
		want := packet[headerSize:]
		buf, err := out.TryReserve(link.KindFrame, len(want))
		if err != nil {
			return
		}
		copy(buf, want)
		out.CommitFrame(link.ParseNetHeader([headerSize]byte(packet)), len(want))
		if err := out.Publish(); err != nil {
			t.Fatal(err)
		}
		before := r.d.Metrics()
		if _, err := rx.batch(); err != nil {
			t.Fatal(err)
		}
		after := r.d.Metrics()
		dropped := after.RxInvalid - before.RxInvalid + after.RxTooLarge - before.RxTooLarge
		waits := rx.held.ok
		rx.giveBack()
		if err := rx.publish(); err != nil {
			t.Fatal(err)
		}
		*rx.held = held{}
		rx.in.Release()
		if ring.UsedIndex() == 0 {
			if dropped != 1 && !waits {
				t.Fatalf("the frame is lost: %+v", after)
			}
			return
		}
		var got []byte
		for {
			head, n, ok := ring.Reap()
			if !ok {
				break
			}
			desc := mem.At(ring.Desc+16*uint64(head), 8)
			got = append(got, mem.At(binary.LittleEndian.Uint64(desc), n)...)
		}
		h := link.ParseNetHeader([headerSize]byte(got))
		checkHeader(t, h, len(want), rx.agreed, link.TowardsGuest)
		if int(h.NumBuffers) != int(ring.UsedIndex()) || !rx.mergeable && h.NumBuffers != 1 || !bytes.Equal(got[headerSize:], want) {
			t.Fatalf("%d buffers, header %+v, frame of %d bytes, want %d", ring.UsedIndex(), h, len(got)-headerSize, len(want))
		}
	})
}
