//go:build linux

package poll

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// longest is how long to look at most.
	longest = 200 * time.Microsecond
	// shortest is the first look that is tried.
	shortest = 10 * time.Microsecond
	// calm is how long nobody looks after others have had the processor for longer than that.
	calm = 50 * time.Millisecond
)

// With one processor nothing could come while we look.
var canLook = runtime.NumCPU() > 1

// looker decides how long to look before sleeping, by the rule and the figures by which KVM does for a processor of a guest that halts
// (Linux, Documentation/virt/kvm/halt-polling.rst): what came soon after the last look would have been found by a longer one; what took
// long would not have been found by any.
type looker struct {
	patience time.Duration
	begin    time.Time // of the wait
	quiet    time.Time // until then nobody looks
}

// look looks for events, and for something to do, without sleeping. Whoever else has something to run on this processor goes first: it may
// be what is waited for.
func (p *Poller) look(events []unix.EpollEvent, w Worker) (n int, busy bool, err error) {
	l := &p.looker
	l.begin = time.Now()
	for now := l.begin; now.Sub(l.begin) < l.patience; {
		if w.Pending() {
			return 0, true, nil
		}
		if n, err = wait(p.fd, events, 0); n > 0 || err != nil {
			return n, false, err
		}
		yield()
		before := now
		if now = time.Now(); now.Sub(before) > longest {
			l.patience, l.quiet = 0, now.Add(calm)
		}
	}
	return 0, false, nil
}

// slept learns from a wait that came to a sleep, which has ended.
func (l *looker) slept(now time.Time) {
	switch {
	case now.Sub(l.begin) > longest:
		l.patience = 0
	case canLook && now.After(l.quiet):
		l.patience = min(max(shortest, 2*l.patience), longest)
	}
}
