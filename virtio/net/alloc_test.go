//go:build linux && !race

package net

import (
	"context"
	"testing"

	"github.com/voidbox-run/voidbox/link"
)

// The race detector makes the driver of these tests allocate, hence the build constraint.

func TestSteadyStateAllocatesNothing(t *testing.T) {
	f := numbered(1, 1514)
	f.net = checksum4
	g := newFastGuest(t, f, 1536)
	in, out := g.plugin.Lane(0).In, g.plugin.Lane(0).Out
	ctx := context.Background()
	var rec link.Record
	round := func() {
		for range 8 {
			g.send()
		}
		g.tx.Notify()
		for got := 0; got < 8; {
			ok, err := in.Next(&rec)
			if err == nil && !ok {
				err = in.Wait(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				continue
			}
			buf, err := out.TryReserve(link.KindFrame, len(rec.Payload))
			if err != nil {
				t.Fatal(err)
			}
			copy(buf, rec.Payload)
			out.CommitFrame(rec.Net, len(buf))
			got++
		}
		in.Release()
		if err := out.Publish(); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			head, _ := g.rx.Wait()
			g.rx.Offer(head)
		}
		g.rx.Notify()
	}
	for range 2 * benchRing {
		round()
	}
	if n := testing.AllocsPerRun(500, round); n >= 1 {
		t.Errorf("8 frames there and back cost %v allocations", n)
	}
}
