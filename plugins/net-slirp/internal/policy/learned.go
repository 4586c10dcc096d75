package policy

import (
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
	byAddr map[netip.Addr]map[string]time.Time
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
			l.byAddr = make(map[netip.Addr]map[string]time.Time)
		}
		if len(l.byAddr) >= maxLearned {
			l.makeRoom(now)
		}
		names = make(map[string]time.Time)
		l.byAddr[a] = names
	}
	if _, ok := names[name]; !ok && len(names) >= maxNamesPerAddr {
		dropOne(names, now)
	}
	if until.After(names[name]) {
		names[name] = until
	}
}

// makeRoom drops what has ended; if nothing has, any address goes, and the guest looks its name up again.
func (l *learned) makeRoom(now time.Time) {
	for a, names := range l.byAddr {
		if !slices.ContainsFunc(values(names), now.Before) {
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

// dropOne drops the name that ends first.
func dropOne(names map[string]time.Time, now time.Time) {
	victim, ends := "", now.Add(2*maxLearnedTTL)
	for name, until := range names {
		if until.Before(ends) {
			victim, ends = name, until
		}
	}
	delete(names, victim)
}

// has tells whether a name was resolved to an address, and still counts.
func (l *learned) has(a netip.Addr, name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.byAddr[a][name])
}

// names returns the names of an address that still count, in order.
func (l *learned) names(a netip.Addr, now time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for name, until := range l.byAddr[a] {
		if now.Before(until) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func values(names map[string]time.Time) []time.Time {
	var out []time.Time
	for _, until := range names {
		out = append(out, until)
	}
	return out
}
