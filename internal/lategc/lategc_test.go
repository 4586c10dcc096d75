package lategc

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

var kept [][]byte

// TestDelay fills the heap past the limit and expects no collection before it, and Go's own settings after it.
func TestDelay(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "")
	}
	t.Cleanup(func() { kept = nil })
	runtime.GC()
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	before := collections()
	Delay(Until)
	for range 32 {
		kept = append(kept, make([]byte, 1<<20))
	}
	if n := collections() - before; n != 0 {
		t.Errorf("%d collections below the limit", n)
	}
	for range 64 {
		kept = append(kept, make([]byte, 1<<20))
	}
	if collections() == before {
		t.Error("no collection past the limit")
	}
	for deadline := time.Now().Add(time.Minute); debug.SetMemoryLimit(-1) != math.MaxInt64; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the limit stays after the first collection")
		}
	}
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is %d after the first collection", got)
	}
}

func TestEndIsForGood(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "")
	}
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	Delay(Until)
	before := collections()
	End()
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 || collections() != before {
		t.Errorf("the limit is %d, and there were %d collections", got, collections()-before)
	}
	if got := debug.SetGCPercent(50); got != 100 {
		t.Errorf("GOGC is %d after the end", got)
	}
	runtime.GC() // finds the mark, which has nothing to end any more
	runtime.GC()
	End()
	if got := debug.SetGCPercent(100); got != 50 {
		t.Errorf("GOGC is %d, and was set to 50 after the end", got)
	}
}

func TestDelayEndsWithTime(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "")
	}
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	delayFor(time.Millisecond, Until)
	for deadline := time.Now().Add(time.Minute); debug.SetMemoryLimit(-1) != math.MaxInt64; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the limit stays")
		}
	}
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is %d after the end", got)
	}
}

func TestEnvironmentWins(t *testing.T) {
	t.Setenv("GOGC", "50")
	limit := debug.SetMemoryLimit(-1)
	Delay(Until)
	if got := debug.SetMemoryLimit(-1); got != limit {
		t.Errorf("limit %d though %s is set", got, os.Getenv("GOGC"))
	}
}

func collections() uint32 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.NumGC
}
