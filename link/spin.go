//go:build linux

package link

import "runtime"

// spinner decides how long to look before sleeping: longer while looking pays, hardly at all while it does not.
type spinner struct{ budget int }

const (
	minSpin = 16
	// maxSpin looks take about 10 us, which is less than a sleep and a wake-up cost.
	maxSpin = 4096
)

// With one processor the peer could not move while we look.
var canSpin = runtime.NumCPU() > 1

func (s *spinner) looks() int {
	if !canSpin {
		return 0
	}
	s.budget = max(s.budget, minSpin)
	return s.budget
}

func (s *spinner) found()  { s.budget = min(s.budget*2, maxSpin) }
func (s *spinner) missed() { s.budget = max(s.budget/2, minSpin) }
