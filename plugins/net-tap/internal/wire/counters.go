//go:build linux

package wire

import "sync/atomic"

// counters are from the guest's point of view: sent is what the guest has sent.
type counters struct {
	sentFrames, sentBytes, receivedFrames, receivedBytes atomic.Uint64
	badOffload                                           atomic.Uint64 // the guest's header lies, or claims what was not agreed on
	refused                                              atomic.Uint64 // by the host's kernel: too short, the device is down
	notAccepted                                          atomic.Uint64 // for the guest, whose driver takes no such frame
}

func (c *counters) stats() map[string]uint64 {
	return map[string]uint64{
		"nic.sent_frames": c.sentFrames.Load(), "nic.sent_bytes": c.sentBytes.Load(),
		"nic.received_frames": c.receivedFrames.Load(), "nic.received_bytes": c.receivedBytes.Load(),
		"nic.dropped.offload": c.badOffload.Load(), "nic.dropped.refused": c.refused.Load(), "nic.dropped.not_accepted": c.notAccepted.Load(),
	}
}
