package policy

import (
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds of what is remembered. A guest makes answers come as fast as it asks.
const (
	maxLearned      = 16384 // addresses
	maxNamesPerAddr = 64
	maxLearnedTTL   = 24 * time.Hour
	// learnedGrace covers the time between a guest's look into its own cache, just before an answer ends, and its connection.
	learnedGrace = 10 * time.Second
)

// learned are the addresses that names were resolved to for the guest, each until its answer ends.
type learned struct {
	mu     sync.Mutex
	lookup uint64 // how many there were
	byAddr map[netip.Addr]map[string]resolved
}

// resolved is a name that was resolved to an address.
type resolved struct {
	until time.Time
	last  uint64 // lookup
}

// Learn remembers that our resolver answered a name with addresses, for ttl.
func (e *Evaluator) Learn(name string, addrs []netip.Addr, ttl time.Duration) {
	now := e.now()
	until := now.Add(min(max(ttl, 0), maxLearnedTTL) + learnedGrace)
	for _, a := range addrs {
		e.known.add(a.Unmap(), name, until, now)
	}
}

func (l *learned) add(a netip.Addr, name string, until, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := l.byAddr[a]
	if names == nil {
		if l.byAddr == nil {
			l.byAddr = make(map[netip.Addr]map[string]resolved)
		}
		if len(l.byAddr) >= maxLearned {
			l.makeRoom(now)
		}
		names = make(map[string]resolved)
		l.byAddr[a] = names
	}
	if _, ok := names[name]; !ok && len(names) >= maxNamesPerAddr {
		dropOldest(names)
	}
	l.lookup++
	if old := names[name].until; until.Before(old) {
		until = old
	}
	names[name] = resolved{until, l.lookup}
}

// makeRoom drops what has ended; if nothing has, any address goes, and the guest looks its name up again.
func (l *learned) makeRoom(now time.Time) {
	for a, names := range l.byAddr {
		if !anyCounts(names, now) {
			delete(l.byAddr, a)
		}
	}
	for a := range l.byAddr {
		if len(l.byAddr) < maxLearned {
			return
		}
		delete(l.byAddr, a)
	}
}

// dropOldest drops the name that was looked up longest ago. An answer that ends soon may be one that the guest got just now, out of our
// cache, and is about to use.
func dropOldest(names map[string]resolved) {
	victim, oldest := "", uint64(math.MaxUint64)
	for name, r := range names {
		if r.last < oldest {
			victim, oldest = name, r.last
		}
	}
	delete(names, victim)
}

// has tells whether a name was resolved to an address, and still counts.
func (l *learned) has(a netip.Addr, name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.byAddr[a][name].until)
}

// names returns the names of an address that still count, in order.
func (l *learned) names(a netip.Addr, now time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for name, r := range l.byAddr[a] {
		if now.Before(r.until) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func anyCounts(names map[string]resolved, now time.Time) bool {
	for _, r := range names {
		if now.Before(r.until) {
			return true
		}
	}
	return false
}
