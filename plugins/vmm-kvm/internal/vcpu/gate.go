package vcpu

import (
	"context"
	"sync"
)

// wish is what a set wants of its threads.
type wish int

const (
	toWait wish = iota
	toRun
	toEnd
)

// gate is where the threads of a set meet those who control them.
type gate struct {
	mu      sync.Mutex
	want    wish
	waiting int           // threads at the gate
	ended   int           // threads that will not come back
	changed chan struct{} // closed, and replaced, when any of the above changes
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// pass holds the thread that calls it as long as the set is paused, and reports whether to run; otherwise the thread has to end.
func (g *gate) pass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.want == toWait {
		g.waiting++
		g.announce()
		for g.want == toWait {
			g.await(nil)
		}
		g.waiting--
		g.announce()
	}
	return g.want == toRun
}

// leave says that the calling thread does not come back.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended++
	g.announce()
}

// ask changes what is wanted and reports whether it could: there is no way back from toEnd.
func (g *gate) ask(w wish) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.want == toEnd && w != toEnd {
		return false
	}
	g.want = w
	g.announce()
	return true
}

// settled waits until n threads are at the gate or gone, or ctx ends.
func (g *gate) settled(ctx context.Context, n int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.waiting+g.ended < n {
		if !g.await(ctx.Done()) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// paused reports whether n threads, all there are, stay at the gate until somebody asks for something else.
func (g *gate) paused(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.want == toWait && g.waiting == n
}

// await waits for the next change, with the lock given up meanwhile, and reports whether it came before cancel.
func (g *gate) await(cancel <-chan struct{}) bool {
	changed := g.changed
	g.mu.Unlock()
	defer g.mu.Lock()
	select {
	case <-changed:
		return true
	case <-cancel:
		return false
	}
}

func (g *gate) announce() {
	close(g.changed)
	g.changed = make(chan struct{})
}
