//go:build linux

package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fill makes b the message with number n, which check knows again.
func fill(b []byte, n uint32, rng *rand.Rand) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	binary.LittleEndian.PutUint32(b[4:], n)
	binary.LittleEndian.PutUint32(b[0:], crc32.ChecksumIEEE(b[4:]))
}

func check(b []byte, n uint32) error {
	if len(b) < 8 || crc32.ChecksumIEEE(b[4:]) != binary.LittleEndian.Uint32(b) {
		return fmt.Errorf("message of %d bytes, due as number %d, is damaged", len(b), n)
	}
	if got := binary.LittleEndian.Uint32(b[4:]); got != n {
		return fmt.Errorf("message %d came where %d was due", got, n)
	}
	return nil
}

// produce sends count messages in batches of random sizes.
func produce(ctx context.Context, w *Writer, rng *rand.Rand, count uint32) error {
	batch := 0
	for n := range count {
		size := 8 + rng.IntN(600)
		if rng.IntN(10) == 0 {
			size = 8 + rng.IntN(w.lane.link.MaxPayload()-8)
		}
		buf, err := w.TryReserve(KindFrame, size)
		if errors.Is(err, ErrFull) {
			if err = w.Wait(ctx, KindFrame, size); err == nil {
				buf, err = w.TryReserve(KindFrame, size)
			}
		}
		if err != nil {
			return err
		}
		size = 8 + rng.IntN(size-7) // less may be committed than was reserved
		fill(buf[:size], n, rng)
		w.CommitFrame(NetHeader{GSOSize: uint16(n)}, size)
		if batch--; batch < 0 {
			if err := w.Publish(); err != nil {
				return err
			}
			batch = rng.IntN(40)
		}
	}
	return w.Publish()
}

// consume demands count messages, and releases after random numbers of them.
func consume(ctx context.Context, r *Reader, rng *rand.Rand, count uint32) error {
	var rec Record
	for n := uint32(0); n < count; {
		ok, err := r.Next(&rec)
		if err != nil {
			return err
		}
		if !ok {
			if err := r.Wait(ctx); err != nil {
				return err
			}
			continue
		}
		if err := check(rec.Payload, n); err != nil {
			return err
		}
		if rec.Net.GSOSize != uint16(n) {
			return fmt.Errorf("message %d has the header of %d", n, rec.Net.GSOSize)
		}
		n++
		if rng.IntN(8) == 0 {
			r.Release()
		}
	}
	r.Release()
	return nil
}

func TestRandomBatchesArriveWhole(t *testing.T) {
	count := uint32(30_000)
	if testing.Short() {
		count = 3000
	}
	pairs := map[string]func(*testing.T) (*Link, *Link){
		"shared memory": func(t *testing.T) (*Link, *Link) { return framesPair(t) },
		// Ordinary memory, which the race detector watches: it proves that the counters order what they guard.
		"ordinary memory": func(t *testing.T) (*Link, *Link) {
			return heapPair(t, settled{purpose: Frames, geo: geometry{lanes: 1, ringSize: MinRing, maxPayload: 9000}, epoch: 1})
		},
	}
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			device, plugin := pair(t)
			// The counters run over 32 bits on the way.
			startAt(device, plugin, ^uint32(MinRing)&^15)
			ctx := testContext(t)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			var done sync.WaitGroup
			run := func(stream uint64, f func(*rand.Rand) error) {
				done.Go(func() {
					if err := f(rand.New(rand.NewPCG(seed, stream))); err != nil {
						t.Error(err)
						_ = device.Break(err)
					}
				})
			}
			run(1, func(r *rand.Rand) error { return produce(ctx, device.Lane(0).Out, r, count) })
			run(2, func(r *rand.Rand) error { return consume(ctx, plugin.Lane(0).In, r, count) })
			run(3, func(r *rand.Rand) error { return produce(ctx, plugin.Lane(0).Out, r, count) })
			run(4, func(r *rand.Rand) error { return consume(ctx, device.Lane(0).In, r, count) })
			done.Wait()
		})
	}
}

// An end that publishes looks next whether the other one sleeps, and one that goes to sleep looks next whether there is
// something: it must never be that neither sees what the other wrote. Only the real mapping tells, under the race detector:
// in memory that the detector knows its own locks keep the order. Where the ends seldom run side by side, rounds are fewer.
func TestWhatIsShownIsSeen(t *testing.T) {
	device, _ := framesPair(t)
	r := &device.Lane(0).Out.ring
	r.dataEvent.Store(0) // prod is
	const (
		rounds   = 200_000
		together = 8 // so often the ends meet, to begin at once
		enough   = 2 * time.Second
	)
	var (
		seen    [2][]uint32 // of the other end's rounds, in each of an end's own
		arrived [2]atomic.Uint32
		ends    sync.WaitGroup
	)
	start := time.Now()
	for i, words := range [][2]*atomic.Uint32{{r.prod, r.dataEvent}, {r.dataEvent, r.prod}} {
		ends.Go(func() {
			defer arrived[i].Store(rounds) // the other end may have some to go
			for n := uint32(0); n < rounds && time.Since(start) < enough; {
				arrived[i].Store(n)
				for spun := 1; arrived[1-i].Load() < n; spun++ {
					if spun%1000 == 0 { // the other end may have no processor
						runtime.Gosched()
					}
				}
				for range together {
					n++
					show(words[0], n)
					seen[i] = append(seen[i], words[1].Load())
				}
			}
		})
	}
	ends.Wait()
	for i, next := range seen[0] {
		// The other end showed its next round after this one had looked, so it has to have seen what this one had shown.
		if n := uint32(i) + 1; int(next) < len(seen[1]) && seen[1][next] < n {
			t.Fatalf("rounds %d and %d: neither end saw what the other had shown", n, next+1)
		}
	}
}

// startAt moves the counters of an idle link's first lane.
func startAt(device, plugin *Link, at uint32) {
	for _, l := range []*Link{device, plugin} {
		lane := l.Lane(0)
		for _, r := range []*ring{&lane.In.ring, &lane.Out.ring} {
			r.prod.Store(at)
			r.cons.Store(at)
			r.dataEvent.Store(at - 1)
			r.spaceEvent.Store(at - 1)
		}
		lane.In.cons, lane.In.next, lane.In.prod = at, at, at
		lane.Out.cons, lane.Out.prod, lane.Out.published = at, at, at
	}
}

// server is a plugin that answers requests late and out of order, with a checksum of what was asked.
func server(ctx context.Context, lane *Lane, rng *rand.Rand) error {
	type job struct {
		tag Tag
		sum uint32
	}
	var jobs []job
	answer := func() error {
		i := rng.IntN(len(jobs))
		j := jobs[i]
		jobs[i] = jobs[len(jobs)-1]
		jobs = jobs[:len(jobs)-1]
		if err := lane.Out.Wait(ctx, KindReply, 4); err != nil {
			return err
		}
		buf, err := lane.Out.TryReserve(KindReply, 4)
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(buf, j.sum)
		lane.Out.CommitReply(j.tag, 4)
		return nil
	}
	var rec Record
	for {
		ok, err := lane.In.Next(&rec)
		switch {
		case err != nil:
			return err
		case ok && rec.Kind == KindRequest:
			jobs = append(jobs, job{rec.Tag, crc32.ChecksumIEEE(rec.Payload)})
			for len(jobs) > 0 && rng.IntN(2) == 0 {
				if err := answer(); err != nil {
					return err
				}
			}
		case !ok:
			for len(jobs) > 0 {
				if err := answer(); err != nil {
					return err
				}
			}
			if err := lane.Out.Publish(); err != nil {
				return err
			}
			if err := lane.In.Wait(ctx); err != nil {
				return err
			}
		}
	}
}

// Requests and replies cross with credits and notices; what the device keeps under a slot is found again.
func TestRandomRequestsAreAnswered(t *testing.T) {
	t.Run("shared memory", func(t *testing.T) { // whose order the race detector does not see
		device, plugin := requestsPair(t, credits)
		requestsAreAnswered(t, device, plugin)
	})
	t.Run("ordinary memory", func(t *testing.T) {
		device, plugin := heapPair(t, settled{
			purpose: Requests, credits: credits, geo: geometry{lanes: 1, ringSize: MinRing, maxPayload: 9000}, epoch: 1,
		})
		requestsAreAnswered(t, device, plugin)
	})
}

const credits = 16

func requestsAreAnswered(t *testing.T, device, plugin *Link) {
	count := 20_000
	if testing.Short() {
		count = 2000
	}
	ctx := testContext(t)
	rng := rand.New(rand.NewPCG(1, 2))
	served := make(chan error, 1)
	go func() { served <- server(ctx, plugin.Lane(0), rand.New(rand.NewPCG(3, 4))) }()

	lane := device.Lane(0)
	var want [credits]uint32
	answered := make(chan error, 1)
	go func() {
		var rec Record
		for n := 0; n < count; {
			ok, err := lane.In.Next(&rec)
			if err == nil && !ok {
				err = lane.In.Wait(ctx)
			}
			if err != nil {
				answered <- err
				return
			}
			if !ok {
				continue
			}
			n++
			if got := binary.LittleEndian.Uint32(rec.Payload); got != want[rec.Tag.Slot()] {
				answered <- fmt.Errorf("reply %d: checksum %#x, want %#x", n, got, want[rec.Tag.Slot()])
				return
			}
		}
		lane.In.Release()
		answered <- nil
	}()
	for range count {
		n := rng.IntN(3000)
		kind := KindRequest
		if rng.IntN(4) == 0 {
			if lane.Out.Wait(ctx, KindNotice, n) == nil {
				if _, err := lane.Out.TryReserve(KindNotice, n); err == nil {
					lane.Out.CommitNotice(n)
				}
			}
		}
		if err := lane.Out.Wait(ctx, kind, n); err != nil {
			t.Error(err)
			break
		}
		buf, err := lane.Out.TryReserve(kind, n)
		if err != nil {
			t.Error(err)
			break
		}
		for i := range buf {
			buf[i] = byte(rng.Uint32())
		}
		tag := lane.Out.CommitRequest(4, n)
		want[tag.Slot()] = crc32.ChecksumIEEE(buf)
		if rng.IntN(4) == 0 {
			_ = lane.Out.Publish()
		}
	}
	_ = lane.Out.Publish()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	_ = device.Break(ErrClosed)
	if err := <-served; !errors.Is(err, ErrPeerGone) {
		t.Errorf("server: %v", err)
	}
}
