package tsc

import (
	"math/bits"
	"time"
)

// minSpan is the least time between the two readings: with readings good to 0.1 us it bounds the error to 20 ppm.
const minSpan = 10 * time.Millisecond

// Meter holds the first of two readings. The longer ago it was made, the better the figure.
type Meter struct{ first reading }

// reading is a counter value and the time at which it was read.
type reading struct {
	ticks uint64
	at    time.Time
}

// Start takes the first reading.
func Start() *Meter {
	if !supported {
		return &Meter{}
	}
	return &Meter{first: read()}
}

// KHz returns the counter's frequency in kHz, 0 on machines without one. It takes at most a few milliseconds when the meter
// was started just before.
func (m *Meter) KHz() uint64 {
	if !supported {
		return 0
	}
	if missing := minSpan - time.Since(m.first.at); missing > 0 {
		time.Sleep(missing)
	}
	last := read()
	ns := uint64(last.at.Sub(m.first.at).Nanoseconds())
	hi, lo := bits.Mul64(last.ticks-m.first.ticks, 1e6)
	if ns == 0 || hi >= ns {
		return 0
	}
	khz, _ := bits.Div64(hi, lo, ns)
	return khz
}

// read takes the best of several readings, the one whose clock calls lie closest together: the others were interrupted.
func read() reading {
	var best reading
	shortest := time.Duration(1<<63 - 1)
	for range 8 {
		before := time.Now()
		ticks := counter()
		took := time.Since(before)
		if took < shortest {
			shortest = took
			best = reading{ticks: ticks, at: before.Add(took / 2)}
		}
	}
	return best
}
