package policy

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox/sdk/network"
)

// Exhausted is what Take grants when no more bytes will ever move: the flow is to be ended.
const Exhausted = -1

// Bytes may come in bursts of a part of a second, and are handed out in pieces that are worth a system call.
const (
	burstsPerSecond = 8
	minBurst        = 64 << 10 // the largest datagram fits
	minGrant        = 1 << 10
)

// limits bounds the attachment as a whole.
type limits struct {
	bounded atomic.Bool // there is something to count bytes for

	mu          sync.Mutex
	bounds      network.Limits
	connections int
	opening     bucket // connections
	moving      bucket // bytes
	taken       uint64 // granted, and not settled yet
	total       uint64 // bytes that have moved
}

// bucket is a token bucket. The zero value has no bound.
type bucket struct {
	rate, burst, tokens float64
	at                  time.Time
}

func newBucket(rate, burst float64, now time.Time) bucket {
	return bucket{rate: rate, burst: burst, tokens: burst, at: now}
}

// fill adds what has come in since the last time.
func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.burst, b.tokens+b.rate*d.Seconds())
		b.at = now
	}
}

// until is how long it takes until there are so many tokens.
func (b *bucket) until(tokens float64) time.Duration {
	return time.Duration(math.Ceil((tokens - b.tokens) / b.rate * float64(time.Second)))
}

func (l *limits) set(to network.Limits, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if to.NewConnectionsPerSecond != l.bounds.NewConnectionsPerSecond {
		rate := float64(to.NewConnectionsPerSecond)
		l.opening = newBucket(rate, rate, now)
	}
	if to.BytesPerSecond != l.bounds.BytesPerSecond {
		rate := float64(to.BytesPerSecond)
		l.moving = newBucket(rate, max(rate/burstsPerSecond, minBurst), now)
	}
	l.bounds = to
	l.bounded.Store(to.BytesPerSecond > 0 || to.TotalBytes > 0)
}

// Acquire admits one more connection. Each that it admits is given back with Release.
func (e *Evaluator) Acquire() (rule string, ok bool) {
	now := e.now()
	l := &e.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.bounds.Connections > 0 && l.connections >= l.bounds.Connections:
		return RuleConnections, false
	case l.bounds.TotalBytes > 0 && l.total >= l.bounds.TotalBytes:
		return RuleTotal, false
	}
	if l.opening.rate > 0 {
		l.opening.fill(now)
		if l.opening.tokens < 1 {
			return RuleRate, false
		}
		l.opening.tokens--
	}
	l.connections++
	return "", true
}

// Release gives a connection back.
func (e *Evaluator) Release() {
	e.limits.mu.Lock()
	defer e.limits.mu.Unlock()
	e.limits.connections--
}

// Take asks to move up to n bytes now. 0 means to ask again after wait, Exhausted never to ask again. Whoever is granted some says
// with Settle how many of them have moved.
func (e *Evaluator) Take(n int) (granted int, wait time.Duration) {
	l := &e.limits
	if !l.bounded.Load() {
		return n, 0
	}
	now := e.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if most := l.bounds.TotalBytes; most > 0 {
		switch {
		case l.total >= most:
			return Exhausted, 0
		case l.total+l.taken >= most:
			return 0, settling // others hold the rest, and may give some of it back
		}
		n = int(min(uint64(n), most-l.total-l.taken))
	}
	if l.moving.rate > 0 {
		l.moving.fill(now)
		least := float64(min(n, minGrant))
		if l.moving.tokens < least {
			return 0, max(l.moving.until(least), settling)
		}
		n = min(n, int(l.moving.tokens))
		l.moving.tokens -= float64(n)
	}
	l.taken += uint64(n)
	return n, 0
}

// settling is how soon to ask again for what others hold.
const settling = time.Millisecond

// Settle says how many bytes of a grant have moved. The others are there for all again.
func (e *Evaluator) Settle(granted, moved int) {
	l := &e.limits
	if !l.bounded.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken -= min(uint64(granted), l.taken)
	l.total += uint64(moved)
	l.moving.tokens = min(l.moving.burst, l.moving.tokens+float64(granted-moved))
}
