package policy

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds of what is remembered. A guest makes answers come as fast as it asks, and with addresses as it likes.
const (
	maxLearned      = 16384 // names of addresses
	maxNamesPerAddr = 64
	maxLearnedTTL   = 24 * time.Hour
	// learnedGrace covers the time between a guest's look into its own cache, just before an answer ends, and its connection.
	learnedGrace = 10 * time.Second
	// leastSweep is how many there must be before it is worth while to look for those that have ended.
	leastSweep = 256
)

// learned are the addresses that names were resolved to for the guest, each until its answer ends.
type learned struct {
	mu     sync.Mutex
	byAddr map[netip.Addr][]resolved
	size   int    // of all addresses' names
	sweep  int    // the size at which those that have ended are looked for: twice what was left the last time
	lookup uint64 // how many there were
}

// resolved is a name that was resolved to an address.
type resolved struct {
	name  string
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
	l.lookup++
	for i := range l.byAddr[a] {
		if r := &l.byAddr[a][i]; r.name == name {
			r.last = l.lookup
			if until.After(r.until) {
				r.until = until
			}
			return
		}
	}
	if l.size >= max(l.sweep, leastSweep) {
		l.makeRoom(now)
	}
	if l.byAddr == nil {
		l.byAddr = make(map[netip.Addr][]resolved)
	}
	names := l.byAddr[a]
	if len(names) >= maxNamesPerAddr {
		names = dropOldest(names)
		l.size--
	}
	l.byAddr[a] = append(names, resolved{name, until, l.lookup})
	l.size++
}

// makeRoom drops what has ended; if too much has not, a quarter goes, whatever it is, and the guest looks its names up again.
func (l *learned) makeRoom(now time.Time) {
	for a, names := range l.byAddr {
		var left []resolved // with no more room than it needs
		for _, r := range names {
			if now.Before(r.until) {
				left = append(left, r)
			}
		}
		l.keep(a, left)
	}
	if l.size >= maxLearned {
		for a := range l.byAddr {
			if l.size <= maxLearned*3/4 {
				break
			}
			l.keep(a, nil)
		}
	}
	l.sweep = min(2*l.size, maxLearned)
}

// keep leaves an address some of its names.
func (l *learned) keep(a netip.Addr, names []resolved) {
	l.size += len(names) - len(l.byAddr[a])
	if l.byAddr[a] = names; len(names) == 0 {
		delete(l.byAddr, a)
	}
}

// dropOldest drops the name that was looked up longest ago. An answer that ends soon may be one that the guest got just now, out of our
// cache, and is about to use.
func dropOldest(names []resolved) []resolved {
	oldest := 0
	for i, r := range names {
		if r.last < names[oldest].last {
			oldest = i
		}
	}
	return slices.Delete(names, oldest, oldest+1)
}

// has tells whether a name was resolved to an address, and still counts.
func (l *learned) has(a netip.Addr, name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.byAddr[a], func(r resolved) bool { return r.name == name && now.Before(r.until) })
}

// names returns the names of an address that still count, in order.
func (l *learned) names(a netip.Addr, now time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, r := range l.byAddr[a] {
		if now.Before(r.until) {
			names = append(names, r.name)
		}
	}
	slices.Sort(names)
	return names
}
