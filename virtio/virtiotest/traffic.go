//go:build linux

package virtiotest

import (
	"runtime"
	"sync/atomic"
	"time"
)

// fill offers random chains on the ring until it is full.
func (a *abuser) fill(r *Ring) {
	for {
		bufs := make([]Buffer, 1+a.random.IntN(4))
		writable := a.random.IntN(len(bufs) + 1)
		for i := range bufs {
			n := 1 + a.random.IntN(1<<a.random.IntN(15))
			bufs[i] = Buffer{
				Addr: a.data + uint64(a.random.IntN(abuseData-n)), Len: n,
				Write: i >= writable,
			}
		}
		if _, ok := r.Add(bufs...); !ok {
			return
		}
	}
}

// scribble changes the data that chains point to: small numbers at random places, since that is what headers are made of.
func (a *abuser) scribble() {
	data := a.Mem.At(a.data, abuseData)
	for range 4096 {
		data[a.random.IntN(len(data))] = byte(a.random.IntN(256) >> a.random.IntN(8))
	}
}

func (a *abuser) flood() {
	for _, r := range a.Rings {
		a.fill(r)
		r.Publish()
	}
}

// reap takes back what was used, and demands that it was the device's to use.
func (a *abuser) reap() (n int) {
	for i, r := range a.Rings {
		if used := r.UsedIndex() - r.lastUsed; int(used) > r.Size {
			a.t.Errorf("queue %d: %d chains are used of %d", i, used, r.Size)
			return n
		}
		before := len(r.chains)
		for {
			head, _, ok := r.Reap()
			if !ok {
				break
			}
			if before--; len(r.chains) != before {
				a.t.Errorf("queue %d: chain %d is used, which the device did not have", i, head)
				return n
			}
			n++
		}
	}
	return n
}

func (a *abuser) randomChains() {
	for range 20 {
		a.Start(AllFeatures, abuseRing)
		a.scribble()
		for range 20 {
			a.flood()
			a.pause()
			a.reap()
		}
	}
}

// resetInFlight resets a device that is busy, which must then leave memory alone.
func (a *abuser) resetInFlight() {
	const mark = 0xa5
	data := a.Mem.At(a.data, abuseData)
	for i := range 200 {
		a.Start(AllFeatures, abuseRing)
		a.scribble()
		a.flood()
		for range i % 16 {
			runtime.Gosched()
		}
		a.Reset()
		for i := range data {
			data[i] = mark
		}
		runtime.Gosched()
		for i, b := range data {
			if b != mark {
				a.t.Fatalf("byte %d of the driver's memory was written after the reset", i)
			}
		}
	}
}

// pauseUnderTraffic pauses the device while a driver goes on, and takes one of its queues away in the end.
func (a *abuser) pauseUnderTraffic() {
	a.Start(AllFeatures, abuseRing)
	a.scribble()
	var stop atomic.Bool
	driven := make(chan struct{})
	go func() {
		defer close(driven)
		for !stop.Load() {
			a.flood()
			a.reap()
			runtime.Gosched()
		}
	}()
	for range 100 {
		a.Transport.Pause()
		runtime.Gosched()
		a.Transport.Resume()
		a.pause()
	}
	stop.Store(true)
	<-driven
	a.Set(RegQueueSel, 0)
	a.Set(RegQueueReady, 0)
	used := a.Rings[0].UsedIndex()
	a.kickAll()
	a.pause()
	if a.Rings[0].UsedIndex() != used {
		a.t.Error("the device uses a queue that was taken away")
	}
}

// moveUnderTraffic saves the device with chains in its queues and goes on with another one, several times.
func (a *abuser) moveUnderTraffic() {
	a.Start(AllFeatures, abuseRing)
	a.scribble()
	for i := range 8 {
		a.flood()
		if i%2 == 0 {
			a.pause()
		}
		a.MMIODriver = a.Move(a.newDevice(a.t))
		a.reap()
	}
}

// growth floods and resets, and looks at what is left of it.
func (a *abuser) growth() {
	rounds := func(n int) {
		for range n {
			a.Start(AllFeatures, abuseRing)
			a.scribble()
			for range 4 {
				a.flood()
				runtime.Gosched()
				a.reap()
			}
			a.Reset()
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const (
		slack        = 4 << 20
		extraThreads = 8
	)
	rounds(20)
	bytes, goroutines := heap(), runtime.NumGoroutine()
	rounds(200)
	deadline := time.Now().Add(Patience)
	for heap() > bytes+slack || runtime.NumGoroutine() > goroutines+extraThreads {
		if time.Now().After(deadline) {
			a.t.Fatalf("the heap grew from %d to %d bytes, goroutines from %d to %d", bytes, heap(), goroutines, runtime.NumGoroutine())
		}
		a.pause()
	}
}

// memoryGoes takes guest memory away under a device that uses it. Only who touches guest memory without virtio.Protect dies.
func (a *abuser) memoryGoes() {
	for i := range 10 {
		a.Start(AllFeatures, abuseRing)
		for _, r := range a.Rings {
			a.fill(r)
			r.Publish()
		}
		for range i {
			runtime.Gosched()
		}
		if err := a.Mem.File.Truncate(0); err != nil {
			a.t.Fatal(err)
		}
		a.kickAll()
		a.pause()
		if i%2 == 0 {
			a.Transport.Pause()
			a.Transport.Resume()
		}
		a.Reset()
		if err := a.Mem.File.Truncate(int64(len(a.Mem.Bytes))); err != nil {
			a.t.Fatal(err)
		}
	}
}
