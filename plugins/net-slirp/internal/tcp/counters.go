package tcp

import "sync/atomic"

type counters struct {
	opened, closed, denied, refused, unreachable, tooMany, exhausted, resets atomic.Uint64
	sent, received                                                           atomic.Uint64
}

// Stats adds the forwarder's counters to s.
func (f *Forwarder) Stats(s map[string]uint64) {
	c := &f.count
	for name, v := range map[string]*atomic.Uint64{
		"tcp.opened": &c.opened, "tcp.closed": &c.closed, "tcp.denied": &c.denied, "tcp.refused": &c.refused,
		"tcp.unreachable": &c.unreachable, "tcp.too_many_dials": &c.tooMany, "tcp.descriptors_exhausted": &c.exhausted,
		"tcp.resets": &c.resets, "tcp.sent_bytes": &c.sent, "tcp.received_bytes": &c.received,
	} {
		s[name] = v.Load()
	}
	stats := f.cfg.Stack.Stats().TCP
	s["tcp.retransmits"] = stats.Retransmits.Value()
	s["tcp.invalid_segments"] = stats.InvalidSegmentsReceived.Value() + stats.ChecksumErrors.Value()
	s["tcp.opening_limit_drops"] = stats.ForwardMaxInFlightDrop.Value()
	f.mu.Lock()
	defer f.mu.Unlock()
	s["tcp.flows"] = uint64(len(f.live))
}
