package udp

import (
	"sync/atomic"
	"time"
)

type counters struct {
	opened, closed, denied, unreachable, exhausted, malformed, limited, full, sent, received atomic.Uint64
}

// Stats adds the forwarder's counters to s.
func (f *Forwarder) Stats(s map[string]uint64) {
	c := &f.count
	for name, v := range map[string]*atomic.Uint64{
		"udp.opened": &c.opened, "udp.closed": &c.closed, "udp.denied": &c.denied, "udp.unreachable": &c.unreachable,
		"udp.descriptors_exhausted": &c.exhausted, "udp.malformed": &c.malformed, "udp.dropped.limit": &c.limited,
		"udp.dropped.full": &c.full, "udp.sent": &c.sent, "udp.received": &c.received,
	} {
		s[name] = v.Load()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s["udp.flows"] = uint64(len(f.flows))
}

// Sweep ends the flows that nobody has used for a while. It happens by itself every few seconds.
func (f *Forwarder) Sweep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.endIdle(askedTime, talkTime)
	f.sweep.Reset(sweepTime)
}

// endIdle ends the flows that nobody has used for a while; f.mu is held.
func (f *Forwarder) endIdle(asked, talk time.Duration) {
	for _, fl := range f.flows {
		limit := asked
		if fl.answered.Load() {
			limit = talk
		}
		if fl.idle() > limit {
			f.end(fl)
		}
	}
}

// Reevaluate ends the flows that the policy now forbids and returns how many there were.
func (f *Forwarder) Reevaluate() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	ended := 0
	for _, fl := range f.flows {
		if fl.listener != nil {
			continue
		}
		if v := f.cfg.Policy.Recheck(fl.asked, fl.verdict); !v.Allow {
			f.end(fl)
			f.deny(fl.asked, v, int(fl.length.Load()))
			ended++
		}
	}
	return ended
}

// Close ends everything.
func (f *Forwarder) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.sweep.Stop()
	for _, fl := range f.flows {
		f.end(fl)
	}
	for port, l := range f.published {
		l.close()
		delete(f.published, port)
	}
}
