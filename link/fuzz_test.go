//go:build linux

package link

import (
	"encoding/binary"
	"errors"
	"testing"
)

// FuzzRing has a reader look at any bytes. The first byte chooses the kind of link and the end; then come how far the
// producer's counter moves before each look, and what is in the ring.
//
// Whatever they are, the reader returns records that lie whole in what was published, steps over each at most once, and
// ends with a violation or an empty ring.
func FuzzRing(f *testing.F) {
	ok := frame(40, 1)
	var seed []byte
	for _, w := range ok {
		seed = binary.LittleEndian.AppendUint64(seed, w)
	}
	for mode := range byte(4) {
		f.Add(mode, uint32(80), uint32(0), seed)
		f.Add(mode, uint32(MinRing), uint32(64), append(seed[:32:32], seed...))
	}
	f.Add(byte(0), uint32(MinRing), uint32(16), binary.LittleEndian.AppendUint64(nil, uint64(kindWrap)<<32))
	var requests []byte
	for _, w := range append(words(KindEpoch, 0, 2, 0, 0), words(KindRequest, 16, 2, 7, 64)...) {
		requests = binary.LittleEndian.AppendUint64(requests, w)
	}
	f.Add(byte(2), uint32(32), uint32(48), requests)
	var reply []byte
	for _, w := range words(KindReply, 8, 1, uint64(newTag(0, 0, 1)), 0) {
		reply = binary.LittleEndian.AppendUint64(reply, w)
	}
	f.Add(byte(3), uint32(48), uint32(0), reply)

	f.Fuzz(func(t *testing.T, mode byte, first, second uint32, content []byte) {
		s := settled{purpose: Frames, geo: geometry{lanes: 1, ringSize: MinRing, maxPayload: 9000}, epoch: 1, features: NetFeatures}
		if mode&2 != 0 {
			s.purpose, s.credits = Requests, 4
		}
		s.device = mode&1 != 0
		l := fuzzLink(t, s)
		defer l.Close()
		lane := l.Lane(0)
		if lane.tags != nil { // two live requests to answer, one of them from before a reset
			lane.tags.take(8)
			lane.tags.abandon()
			lane.tags.take(64)
		}
		ring := lane.In.ring
		copy(ring.data, content)
		// The content is seen at the end of the ring, too, where it meets the wrap.
		copy(ring.data[MinRing-min(len(content), MinRing):], content)
		drain(t, l, first)
		drain(t, l, first+second)
	})
}

func fuzzLink(t *testing.T, s settled) *Link {
	device, plugin := heapPair(t, s)
	if s.device {
		return device
	}
	return plugin
}

func drain(t *testing.T, l *Link, prod uint32) {
	r := l.Lane(0).In
	r.ring.prod.Store(prod)
	var rec Record
	for looks := 0; ; looks++ {
		if looks > MinRing/wrapHeader {
			t.Fatal("more records than the ring can hold")
		}
		before := r.next
		ok, err := r.Next(&rec)
		if err != nil {
			if !errors.Is(err, ErrViolation) {
				t.Fatal(err)
			}
			return
		}
		if r.next-r.cons > MinRing || r.prod-r.next > MinRing {
			t.Fatalf("from %#x to %#x with %#x given back and %#x published", before, r.next, r.cons, r.prod)
		}
		if !ok {
			break
		}
		if len(rec.Payload) > l.MaxPayload() || uint32(len(rec.Payload)) > r.next-before {
			t.Fatalf("payload of %d bytes in a step from %#x to %#x", len(rec.Payload), before, r.next)
		}
		if int(rec.Room) > l.MaxPayload() {
			t.Fatalf("room for %d bytes", rec.Room)
		}
		for i := range rec.Payload { // touch it all
			_ = rec.Payload[i]
		}
	}
	r.Release()
	if r.next != r.prod || r.cons != r.next {
		t.Fatalf("an empty ring with %#x, %#x, %#x", r.cons, r.next, r.prod)
	}
}

// FuzzHandshake parses both messages that carry more than a magic number.
func FuzzHandshake(f *testing.F) {
	f.Add(hello{version: version, purpose: Frames, lanes: 1}.encode())
	f.Add(goodOffer.encode())
	f.Add(encodeRefusal("no"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHello(b); err == nil {
			terms := Terms{Purpose: Frames}.withDefaults()
			if terms.admit(h) == nil && (h.lanes == 0 || h.lanes > MaxLanes) {
				t.Errorf("%d lanes admitted", h.lanes)
			}
		}
		for _, p := range []Purpose{Frames, Requests} {
			s, err := judge(b, Ask{Purpose: p, Lanes: 1})
			if err == nil && (s.geo.size() > controlSize+2*MaxRing || s.geo.maxPayload > s.geo.ringSize/2 || s.credits > MaxCredits) {
				t.Errorf("%+v was taken", s)
			}
		}
	})
}
