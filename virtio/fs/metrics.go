//go:build linux

package fs

import "sync/atomic"

// Metrics counts what a device has moved since it was made. Bytes are those of FUSE messages.
type Metrics struct {
	Requests, RequestBytes uint64
	Replies, ReplyBytes    uint64
	Notices                uint64 // messages without a reply; their bytes count as requests'
	InFlight               int64  // requests that wait for their reply now

	// Requests that the device answered with EIO, or dropped.
	Invalid    uint64 // they break the rules, or do not fit the link
	BadReplies uint64 // their reply breaks the rules
	Failed     uint64 // there is no plugin, or it died before it answered

	LinkDowns uint64 // how often the link went down
}

type counters struct {
	requests, requestBytes, replies, replyBytes, notices atomic.Uint64
	inFlight                                             atomic.Int64
	invalid, badReplies, failed, downs                   atomic.Uint64
}

// Metrics returns the present counts.
func (d *Device) Metrics() Metrics {
	c := &d.count
	return Metrics{
		Requests: c.requests.Load(), RequestBytes: c.requestBytes.Load(),
		Replies: c.replies.Load(), ReplyBytes: c.replyBytes.Load(),
		Notices: c.notices.Load(), InFlight: c.inFlight.Load(),
		Invalid: c.invalid.Load(), BadReplies: c.badReplies.Load(), Failed: c.failed.Load(), LinkDowns: c.downs.Load(),
	}
}
