//go:build linux

package block

import (
	"errors"
	"sync/atomic"
)

// Stats counts what a disk has done since it was made.
type Stats struct {
	Reads, Writes, Flushes, Discards, WriteZeroes uint64 // requests that succeeded
	ReadBytes, WrittenBytes                       uint64
	Errors                                        uint64 // requests that failed or were refused
	Waited                                        uint64 // requests that a worker finished
}

type counters struct {
	reads, writes, flushes, discards, writeZeroes, readBytes, writtenBytes, errors, waited atomic.Uint64
}

// Stats returns the counters. It may be called at any time.
func (d *Device) Stats() Stats {
	c := &d.counters
	return Stats{
		Reads: c.reads.Load(), Writes: c.writes.Load(), Flushes: c.flushes.Load(),
		Discards: c.discards.Load(), WriteZeroes: c.writeZeroes.Load(),
		ReadBytes: c.readBytes.Load(), WrittenBytes: c.writtenBytes.Load(),
		Errors: c.errors.Load(), Waited: c.waited.Load(),
	}
}

// account counts a request that ended with err, and returns the status that tells the driver. It logs the first error of the
// storage; what a driver does wrong is its own affair.
func (d *Device) account(r *request, err error) status {
	c := &d.counters
	if err != nil {
		c.errors.Add(1)
		var refused *refusal
		if errors.As(err, &refused) {
			return refused.status
		}
		if d.failed.CompareAndSwap(false, true) {
			d.log.Error("disk I/O failed: the guest is told; later errors are only counted",
				"disk", d.name(), "type", r.kind, "offset", r.offset, "bytes", r.size, "error", err)
		}
		return statusIOError
	}
	switch r.kind {
	case kindIn:
		c.reads.Add(1)
		c.readBytes.Add(uint64(r.size))
	case kindOut:
		c.writes.Add(1)
		c.writtenBytes.Add(uint64(r.size))
	case kindFlush:
		c.flushes.Add(1)
	case kindDiscard:
		c.discards.Add(1)
	case kindWriteZeroes:
		c.writeZeroes.Add(1)
	}
	return statusOK
}
