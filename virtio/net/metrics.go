//go:build linux

package net

import "sync/atomic"

// Metrics counts what a device has moved since it was made. Bytes are those of frames, without headers of virtio.
type Metrics struct {
	TxFrames, TxBytes uint64 // from the guest
	RxFrames, RxBytes uint64 // to the guest

	// Frames that were dropped.
	TxInvalid   uint64 // the guest's header or length breaks the rules
	TxNoCarrier uint64 // sent while there was no link
	RxInvalid   uint64 // the plugin's header or length breaks the rules
	RxTooLarge  uint64 // no buffers of the guest can hold it
	RxInactive  uint64 // sent on a lane that the driver does not use

	LinkDowns uint64 // how often the link went down
}

type counters struct {
	txFrames, txBytes, rxFrames, rxBytes     atomic.Uint64
	txInvalid, txNoCarrier                   atomic.Uint64
	rxInvalid, rxTooLarge, rxInactive, downs atomic.Uint64
}

// Metrics returns the present counts.
func (d *Device) Metrics() Metrics {
	c := &d.count
	return Metrics{
		TxFrames: c.txFrames.Load(), TxBytes: c.txBytes.Load(),
		RxFrames: c.rxFrames.Load(), RxBytes: c.rxBytes.Load(),
		TxInvalid: c.txInvalid.Load(), TxNoCarrier: c.txNoCarrier.Load(),
		RxInvalid: c.rxInvalid.Load(), RxTooLarge: c.rxTooLarge.Load(), RxInactive: c.rxInactive.Load(),
		LinkDowns: c.downs.Load(),
	}
}

// moved collects what a batch moved, so that the counters are touched once a batch.
type moved struct{ frames, bytes uint64 }

func (m *moved) add(bytes int) {
	m.frames++
	m.bytes += uint64(bytes)
}

func (m *moved) flush(frames, bytes *atomic.Uint64) {
	if m.frames > 0 {
		frames.Add(m.frames)
		bytes.Add(m.bytes)
		*m = moved{}
	}
}
