//go:build linux

package block

import (
	"io"
)

// start does as much of a parsed request as does not wait for the storage. errWouldWait means that finish has to do the rest,
// from another goroutine.
func (r *request) start(v *vector) error {
	switch r.kind {
	case kindIn:
		return r.read(v, mustNotWait)
	case kindOut:
		if r.stable() {
			return errWouldWait
		}
		return r.write(v, mustNotWait)
	case kindGetID:
		r.size = r.chain.Writable.CopyFrom(r.q.d.id[:min(r.room, serialSize)], 0)
		r.done = r.size
		return nil
	}
	return errWouldWait
}

// finish does the rest of a request, however long that takes.
func (r *request) finish(v *vector) error {
	disk := r.q.d.disk
	switch r.kind {
	case kindIn:
		return r.read(v, mayWait)
	case kindOut:
		if r.stable() {
			return r.write(v, mustReachDisk)
		}
		return r.write(v, mayWait)
	case kindFlush:
		return disk.sync()
	}
	for _, z := range r.ranges[:r.nRanges] {
		if err := r.clear(z); err != nil {
			return err
		}
	}
	if r.stable() {
		return disk.sync()
	}
	return nil
}

func (r *request) clear(z byteRange) error {
	switch {
	case z.n == 0:
		return nil
	case r.kind == kindDiscard:
		return r.q.d.disk.discard(z.offset, z.n)
	}
	return r.q.d.disk.zero(z.offset, z.n, z.unmap)
}

// read moves what is left of the data from the storage to the guest. A file that has become shorter than the disk is
// io.ErrUnexpectedEOF.
func (r *request) read(v *vector, mode mode) error {
	for r.done < r.size {
		v.fill(r.chain.Writable, r.done, r.size-r.done)
		n, err := r.q.d.disk.readv(v, r.offset+int64(r.done), mode)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		r.done += n
	}
	return nil
}

// write moves what is left of the data from the guest to the storage.
func (r *request) write(v *vector, mode mode) error {
	for r.done < r.size {
		v.fill(r.chain.Readable, headerSize+r.done, r.size-r.done)
		n, err := r.q.d.disk.writev(v, r.offset+int64(r.done), mode)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		r.done += n
	}
	return nil
}

// stable reports whether what the request writes must be safe when it is completed.
func (r *request) stable() bool { return r.q.d.stable(r.q.features) }
