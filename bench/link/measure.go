//go:build linux

package main

import (
	"time"

	"github.com/voidbox-run/voidbox/internal/benchtable"
)

const (
	// asleep is how long the other process is left alone, so that it sleeps when the record comes.
	asleep   = 300 * time.Microsecond
	echoes   = 100
	volume   = 64 << 20 // bytes of one throughput measurement, at most maxCount records
	maxCount = 300_000
)

// series are the measurements of up to three sides.
type series [3][]float64

func (s *series) add(i int, measure func() (float64, error)) error {
	v, err := measure()
	s[i] = append(s[i], v)
	return err
}

// throughput returns MB a second.
func throughput(s side, b []byte) (float64, error) {
	n := min(volume/len(b), maxCount)
	start := time.Now()
	if err := s.send(b, n); err != nil {
		return 0, err
	}
	return float64(n*len(b)) / time.Since(start).Seconds() / 1e6, nil
}

// latency returns the median of half a round trip in microseconds, with a pause before each.
func latency(s side, b []byte, pause time.Duration) (float64, error) {
	var half []float64
	for range echoes {
		if pause > 0 {
			time.Sleep(pause)
		}
		start := time.Now()
		if err := s.echo(b); err != nil {
			return 0, err
		}
		half = append(half, float64(time.Since(start).Nanoseconds())/2e3)
	}
	return benchtable.Median(half), nil
}

// copySide copies records into a ring's worth of memory and out of it again, as both ends of a link do, in one goroutine.
type copySide struct{ ring, out []byte }

func newCopySide() *copySide { return &copySide{ring: make([]byte, 2<<20), out: make([]byte, 64<<10)} }

func (c *copySide) send(b []byte, n int) error {
	off := 0
	for range n {
		if off+len(b) > len(c.ring) {
			off = 0
		}
		copy(c.ring[off:], b)
		copy(c.out, c.ring[off:off+len(b)])
		off += len(b)
	}
	return nil
}

func (c *copySide) echo([]byte) error { return nil }
func (c *copySide) close()            {}
