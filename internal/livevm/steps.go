package livevm

import (
	"fmt"
	"time"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
)

// Steps collects how long each step of a boot takes, from the one before to the moment at which it is reached.
type Steps struct {
	last  time.Time
	order []sandbox.Stage
	took  map[sandbox.Stage][]float64 // ms
}

// Begin starts a boot.
func (s *Steps) Begin() { s.last = time.Now() }

// Reached notes a step; it is a Request.Progress.
func (s *Steps) Reached(stage sandbox.Stage) {
	now := time.Now()
	if s.took == nil {
		s.took = map[sandbox.Stage][]float64{}
	}
	if s.took[stage] == nil {
		s.order = append(s.order, stage)
	}
	s.took[stage] = append(s.took[stage], now.Sub(s.last).Seconds()*1e3)
	s.last = now
}

// Print shows the median of each step.
func (s *Steps) Print() {
	fmt.Println("ours, step by step (ms until it is reached, median):")
	for _, stage := range s.order {
		fmt.Printf("  %-16s %7.1f\n", stage, benchtable.Median(s.took[stage]))
	}
}
