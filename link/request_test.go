//go:build linux

package link

import (
	"errors"
	"testing"
)

func request(t testing.TB, lane *Lane, room uint32, payload []byte) Tag {
	t.Helper()
	buf, err := lane.Out.TryReserve(KindRequest, len(payload))
	if err != nil {
		t.Fatal(err)
	}
	copy(buf, payload)
	tag := lane.Out.CommitRequest(room, len(payload))
	publish(t, lane.Out)
	return tag
}

func reply(t testing.TB, w *Writer, tag Tag, payload []byte) {
	t.Helper()
	buf, err := w.TryReserve(KindReply, len(payload))
	if err != nil {
		t.Fatal(err)
	}
	copy(buf, payload)
	w.CommitReply(tag, len(payload))
	publish(t, w)
}

func TestRequestsAndReplies(t *testing.T) {
	device, plugin := requestsPair(t, 3)
	d, p := device.Lane(1), plugin.Lane(1)
	tags := make([]Tag, 3)
	slots := map[int]bool{}
	for i := range tags {
		tags[i] = request(t, d, 100, []byte{byte(i)})
		slots[tags[i].Slot()] = true
	}
	if len(slots) != 3 {
		t.Fatalf("slots of live requests: %v", slots)
	}
	if _, err := d.Out.TryReserve(KindRequest, 1); !errors.Is(err, ErrNoCredit) {
		t.Fatalf("fourth request: %v", err)
	}
	// Notices need no credit.
	if _, err := d.Out.TryReserve(KindNotice, 6); err != nil {
		t.Fatal(err)
	}
	d.Out.CommitNotice(6)
	publish(t, d.Out)

	var rec Record
	for i := range tags {
		mustNext(t, p.In, &rec)
		if rec.Kind != KindRequest || rec.Tag != tags[i] || rec.Room != 100 || rec.Payload[0] != byte(i) {
			t.Fatalf("request %d came as %+v", i, rec)
		}
	}
	mustNext(t, p.In, &rec)
	if rec.Kind != KindNotice || len(rec.Payload) != 6 {
		t.Fatalf("notice came as %+v", rec)
	}
	p.In.Release()

	// Replies may come in any order. Their credits come back when they have been read.
	reply(t, p.Out, tags[2], make([]byte, 100))
	mustNext(t, d.In, &rec)
	if rec.Kind != KindReply || rec.Tag != tags[2] || len(rec.Payload) != 100 {
		t.Fatalf("reply came as %+v", rec)
	}
	if _, err := d.Out.TryReserve(KindRequest, 1); !errors.Is(err, ErrNoCredit) {
		t.Fatalf("request before Release: %v", err)
	}
	d.In.Release()
	again := request(t, d, 0, nil)
	if again.Slot() != tags[2].Slot() || again == tags[2] {
		t.Errorf("tag %#x after %#x: want the slot with another generation", again, tags[2])
	}
}

func TestWaitForCredit(t *testing.T) {
	device, plugin := requestsPair(t, 1)
	d, p := device.Lane(0), plugin.Lane(0)
	ctx := testContext(t)
	const rounds = 2000
	answered := make(chan int)
	go func() { // the plugin
		var rec Record
		for {
			ok, err := p.In.Next(&rec)
			if err != nil {
				return
			}
			if ok {
				reply(t, p.Out, rec.Tag, nil)
			} else if p.In.Wait(ctx) != nil {
				return
			}
		}
	}()
	go func() { // the device's replies
		var rec Record
		n := 0
		for n < rounds {
			ok, err := d.In.Next(&rec)
			if err != nil {
				t.Error(err)
				break
			}
			if ok {
				n++
			} else if err := d.In.Wait(ctx); err != nil {
				t.Error(err)
				break
			}
		}
		d.In.Release()
		answered <- n
	}()
	for range rounds {
		if err := d.Out.Wait(ctx, KindRequest, 1); err != nil {
			t.Fatal(err)
		}
		request(t, d, 8, []byte{1})
	}
	if n := <-answered; n != rounds {
		t.Errorf("%d replies", n)
	}
	_ = device.Break(ErrClosed)
	<-plugin.Done()
}

func TestNewEpochDropsWhatWasUnderWay(t *testing.T) {
	device, plugin := framesPair(t)
	d, p := device.Lane(0), plugin.Lane(0)
	sendFrame(t, p.Out, NetHeader{}, []byte("for the old driver"))
	publish(t, p.Out)
	sendFrame(t, d.Out, NetHeader{}, []byte("of the old driver"))
	if err := device.NewEpoch(FeatureGuestChecksum); err != nil {
		t.Fatal(err)
	}
	sendFrame(t, d.Out, NetHeader{}, []byte("of the new driver"))
	publish(t, d.Out)
	// The plugin has not read of the reset yet.
	sendFrame(t, p.Out, NetHeader{}, []byte("for the old driver, too"))
	publish(t, p.Out)
	mustBeEmpty(t, d.In)

	var rec Record
	mustNext(t, p.In, &rec)
	if string(rec.Payload) != "of the old driver" || rec.Epoch != 1 {
		t.Fatalf("%q of epoch %d", rec.Payload, rec.Epoch)
	}
	mustNext(t, p.In, &rec)
	if rec.Kind != KindEpoch || rec.Epoch != 2 || rec.Features != FeatureGuestChecksum {
		t.Fatalf("%+v, want the new epoch", rec)
	}
	mustNext(t, p.In, &rec)
	if string(rec.Payload) != "of the new driver" || rec.Epoch != 2 {
		t.Fatalf("%q of epoch %d", rec.Payload, rec.Epoch)
	}
	sendFrame(t, p.Out, NetHeader{}, []byte("for the new driver"))
	publish(t, p.Out)
	mustNext(t, d.In, &rec)
	if string(rec.Payload) != "for the new driver" || rec.Epoch != 2 {
		t.Fatalf("%q of epoch %d", rec.Payload, rec.Epoch)
	}
}

func TestNewEpochThroughAFullRing(t *testing.T) {
	device, plugin := framesPair(t)
	d, p := device.Lane(0), plugin.Lane(0)
	frames := 0
	for {
		if _, err := d.Out.TryReserve(KindFrame, 480); err != nil {
			break
		}
		d.Out.CommitFrame(NetHeader{}, 480)
		frames++
	}
	for range 3 {
		if err := device.NewEpoch(0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Out.TryReserve(KindFrame, 1); !errors.Is(err, ErrFull) {
		t.Fatalf("error %v", err)
	}
	var rec Record
	for range frames {
		mustNext(t, p.In, &rec)
	}
	p.In.Release()
	sendFrame(t, d.Out, NetHeader{}, []byte("new"))
	publish(t, d.Out)
	mustNext(t, p.In, &rec)
	if rec.Kind != KindEpoch || rec.Epoch != 4 {
		t.Fatalf("%+v, want epoch 4", rec)
	}
	mustNext(t, p.In, &rec)
	if string(rec.Payload) != "new" {
		t.Fatalf("%q", rec.Payload)
	}
}

// A guest that resets its device over and over must not pile up requests at the plugin.
func TestResetKeepsCreditsInUse(t *testing.T) {
	device, plugin := requestsPair(t, 2)
	d, p := device.Lane(0), plugin.Lane(0)
	old := []Tag{request(t, d, 8, nil), request(t, d, 8, nil)}
	for range 5 {
		if err := device.NewEpoch(0); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Out.TryReserve(KindRequest, 0); !errors.Is(err, ErrNoCredit) {
			t.Fatalf("request after a reset: %v", err)
		}
	}
	var rec Record
	for range 7 { // two requests, five epochs
		mustNext(t, p.In, &rec)
	}
	p.In.Release()
	reply(t, p.Out, old[0], []byte("late"))
	mustBeEmpty(t, d.In) // nobody wants it
	d.In.Release()
	tag := request(t, d, 8, nil)
	mustNext(t, p.In, &rec)
	reply(t, p.Out, tag, []byte("wanted"))
	mustNext(t, d.In, &rec)
	if rec.Tag != tag || string(rec.Payload) != "wanted" {
		t.Errorf("%+v", rec)
	}
}
