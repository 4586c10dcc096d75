package nic

import "sync/atomic"

// counters are the card's, from the guest's point of view: sent is what the guest has sent.
type counters struct {
	sentFrames, sentBytes         atomic.Uint64
	receivedFrames, receivedBytes atomic.Uint64

	// What the guest sent and why it was dropped.
	malformed, badHardware, badSource, badChecksum, badOffload, unknown, martian atomic.Uint64
	// What was for the guest and did not get there.
	full, noCarrier atomic.Uint64
	queued          atomic.Uint64 // TCP segments that had to wait for room in the ring
}

// Stats adds the card's counters to s.
func (e *Endpoint) Stats(s map[string]uint64) {
	c := &e.count
	for name, v := range map[string]*atomic.Uint64{
		"nic.sent_frames": &c.sentFrames, "nic.sent_bytes": &c.sentBytes,
		"nic.received_frames": &c.receivedFrames, "nic.received_bytes": &c.receivedBytes,
		"nic.dropped.malformed": &c.malformed, "nic.dropped.hardware_address": &c.badHardware, "nic.dropped.source": &c.badSource,
		"nic.dropped.checksum": &c.badChecksum, "nic.dropped.offload": &c.badOffload, "nic.dropped.protocol": &c.unknown,
		"nic.dropped.martian": &c.martian, "nic.dropped.full": &c.full, "nic.dropped.no_carrier": &c.noCarrier,
		"nic.queued": &c.queued,
	} {
		s[name] = v.Load()
	}
}
