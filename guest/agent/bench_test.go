package main_test

import (
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// The promises of the agent against plain os/exec; see docs/benchmarks.md.
const (
	maxLatencyRatio    = 1.6 // p50 of one exec at a time
	minThroughputRatio = 0.8 // 64 at once
	concurrent         = 64
)

// BenchmarkExec compares exec of /bin/true through the agent with os/exec, in turns, so that both see the same machine.
func BenchmarkExec(b *testing.B) {
	p := startProcess(b, ownUser(b))
	agent := func() {
		exit, err := p.Exec(b.Context(), sandbox.Command{Args: []string{"/bin/true"}}, sandbox.IO{})
		if err != nil || exit.Code != 0 {
			b.Error(exit, err)
		}
	}
	plain := func() {
		if _, err := exec.Command("/bin/true").Output(); err != nil {
			b.Error(err)
		}
	}
	for range 50 {
		agent()
		plain()
	}
	b.Run("one", func(b *testing.B) {
		var viaAgent, viaPlain []time.Duration
		for b.Loop() {
			viaAgent = append(viaAgent, timed(agent))
			viaPlain = append(viaPlain, timed(plain))
		}
		a, o := median(viaAgent), median(viaPlain)
		b.ReportMetric(float64(a.Microseconds()), "agent-p50-µs")
		b.ReportMetric(float64(o.Microseconds()), "osexec-p50-µs")
		b.ReportMetric(float64(a)/float64(o), "ratio")
		b.ReportMetric(maxLatencyRatio, "ratio-allowed")
	})
	b.Run("64-at-once", func(b *testing.B) {
		var viaAgent, viaPlain time.Duration
		rounds := 0
		for b.Loop() {
			viaAgent += timed(func() { atOnce(agent) })
			viaPlain += timed(func() { atOnce(plain) })
			rounds++
		}
		n := float64(rounds * concurrent * 4)
		b.ReportMetric(n/viaAgent.Seconds(), "agent-exec/s")
		b.ReportMetric(n/viaPlain.Seconds(), "osexec-exec/s")
		b.ReportMetric(float64(viaPlain)/float64(viaAgent), "ratio")
		b.ReportMetric(minThroughputRatio, "ratio-demanded")
	})
}

func timed(fn func()) time.Duration {
	start := time.Now()
	fn()
	return time.Since(start)
}

// atOnce calls fn four times in each of 64 goroutines.
func atOnce(fn func()) {
	var wg sync.WaitGroup
	for range concurrent {
		wg.Go(func() {
			for range 4 {
				fn()
			}
		})
	}
	wg.Wait()
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
