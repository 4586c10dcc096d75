package policy

import (
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/network"
)

func limited(t *testing.T, l network.Limits) (*Evaluator, *clock) {
	return evaluator(t, network.Policy{Default: network.Allow, Limits: l})
}

func TestLimitOfConnections(t *testing.T) {
	e, _ := limited(t, network.Limits{Connections: 2})
	for i, want := range []bool{true, true, false} {
		if rule, ok := e.Acquire(); ok != want || !ok && rule != RuleConnections {
			t.Errorf("connection %d: %v by %q", i, ok, rule)
		}
	}
	e.Release()
	if _, ok := e.Acquire(); !ok {
		t.Error("a connection that has ended counts")
	}
}

func TestLimitOfNewConnections(t *testing.T) {
	e, c := limited(t, network.Limits{NewConnectionsPerSecond: 10})
	admitted := func() (n int) {
		for range 100 {
			rule, ok := e.Acquire()
			if ok {
				e.Release()
				n++
			} else if rule != RuleRate {
				t.Errorf("denied by %q", rule)
			}
		}
		return n
	}
	for i, want := range []int{10, 0, 5, 10} {
		if got := admitted(); got != want {
			t.Errorf("step %d: %d connections, want %d", i, got, want)
		}
		c.pass([]time.Duration{0, 500 * time.Millisecond, time.Hour, 0}[i])
	}
}

func TestLimitOfBytesPerSecond(t *testing.T) {
	const rate = 1 << 20
	e, c := limited(t, network.Limits{BytesPerSecond: rate})
	start := c.now
	moved := 0
	for moved < 10*rate {
		n, wait := e.Take(256 << 10)
		if n == 0 {
			if wait <= 0 {
				t.Fatal("nothing now, and no time to come back")
			}
			c.pass(wait)
			continue
		}
		e.Settle(n, n)
		moved += n
	}
	if took := c.now.Sub(start); took < 9*time.Second || took > 10*time.Second {
		t.Errorf("%d bytes took %v at %d a second", moved, took, rate)
	}
	n, _ := e.Take(1 << 20)
	before := e.limits.moving.tokens
	e.Settle(n, 0)
	if got := e.limits.moving.tokens - before; got != float64(n) {
		t.Errorf("%v of %d bytes came back", got, n)
	}
}

func TestLimitOfTotalBytes(t *testing.T) {
	e, _ := limited(t, network.Limits{TotalBytes: 1000})
	mine, _ := e.Take(600)
	others, _ := e.Take(600)
	if mine != 600 || others != 400 {
		t.Fatalf("granted %d and %d", mine, others)
	}
	if n, wait := e.Take(1); n != 0 || wait <= 0 {
		t.Errorf("while all is taken: %d, %v", n, wait)
	}
	e.Settle(others, 100) // 300 come back
	if n, _ := e.Take(600); n != 300 {
		t.Errorf("%d came back", n)
	}
	e.Settle(mine, 600)
	e.Settle(300, 300)
	if n, _ := e.Take(1); n != Exhausted {
		t.Errorf("after all has moved: %d", n)
	}
	if rule, ok := e.Acquire(); ok || rule != RuleTotal {
		t.Errorf("a new connection: %v by %q", ok, rule)
	}
	if e.Spend(1) {
		t.Error("a datagram moves")
	}
}

func TestDatagramMovesWhole(t *testing.T) {
	e, _ := limited(t, network.Limits{TotalBytes: 100})
	if !e.Spend(60) || e.Spend(60) || !e.Spend(40) {
		t.Error("datagrams move in part")
	}
}

func TestNoLimits(t *testing.T) {
	e, _ := limited(t, network.Limits{})
	for range 1000 {
		if _, ok := e.Acquire(); !ok {
			t.Fatal("denied")
		}
	}
	if n, wait := e.Take(1 << 30); n != 1<<30 || wait != 0 {
		t.Errorf("granted %d, %v", n, wait)
	}
}

// Flows ask at once, while the policy changes.
func TestTogether(t *testing.T) {
	e, _ := limited(t, network.Limits{BytesPerSecond: 1 << 30, Connections: 100})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				if _, ok := e.Acquire(); ok {
					n, _ := e.Take(100)
					e.Settle(n, n/2)
					e.Release()
				}
				e.Learn("a.example", addrs("9.9.9.9"), time.Minute)
				e.Decide(flow("tcp 9.9.9.9:443"))
			}
		})
	}
	all.Go(func() {
		for i := range 100 {
			p := rules("+a.example")
			p.Limits = network.Limits{Connections: i}
			if err := e.Update(p); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	if e.limits.connections != 0 || e.limits.taken != 0 {
		t.Errorf("%d connections and %d bytes are still held", e.limits.connections, e.limits.taken)
	}
}
