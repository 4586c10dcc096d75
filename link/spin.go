//go:build linux

package link

import (
	"runtime"
	"sync/atomic"
	"time"
)

// spinner decides whether to look for a while before sleeping: yes as long as that keeps paying, else only now and then,
// to find out. On a machine whose processors are all busy looking never pays, since the peer is not running.
type spinner struct {
	pays    bool
	skipped int
}

const (
	// spinTime is about what a sleep and a wake-up cost.
	spinTime = 20 * time.Microsecond
	// probeEvery is how many waits pass between two tries.
	probeEvery = 16
)

// With one processor the peer could not move while we look.
var canSpin = runtime.NumCPU() > 1

// until looks until word is no longer old, and returns false when it gave up.
func (s *spinner) until(word *atomic.Uint32, old uint32) bool {
	if word.Load() != old {
		return true
	}
	if s.skipped++; !canSpin || !s.pays && s.skipped < probeEvery {
		return false
	}
	s.skipped = 0
	start := time.Now()
	for i := 1; i%32 != 0 || time.Since(start) < spinTime; i++ {
		if word.Load() != old {
			s.pays = true
			return true
		}
	}
	s.pays = false
	return false
}
