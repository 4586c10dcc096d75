package main

import (
	"fmt"
	"time"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
)

// steps collects how long each step of a boot takes, from the one before to the moment at which it is reached.
type steps struct {
	last  time.Time
	order []sandbox.Stage
	took  map[sandbox.Stage][]float64 // ms
}

func (s *steps) begin() { s.last = time.Now() }

func (s *steps) reached(stage sandbox.Stage) {
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

func (s *steps) print() {
	fmt.Println("ours, step by step (ms until it is reached, median):")
	for _, stage := range s.order {
		fmt.Printf("  %-16s %7.0f\n", stage, benchtable.Median(s.took[stage]))
	}
}
