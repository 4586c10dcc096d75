//go:build linux && !race

package fs

import "testing"

// The race detector makes the driver of these tests allocate, hence the build constraint.

func TestSteadyStateAllocatesNothing(t *testing.T) {
	g := newFastGuest(t, 16, 128, 4096)
	const runs, n = 200, 32
	served := make(chan struct{})
	go func() {
		defer close(served)
		g.serve(t, (runs+1+64)*n, 4096)
	}()
	for range 64 {
		g.run(n)
	}
	if allocs := testing.AllocsPerRun(runs, func() { g.run(n) }); allocs >= 1 {
		t.Errorf("%d requests cost %v allocations", n, allocs)
	}
	<-served
}
