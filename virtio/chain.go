package virtio

import (
	"encoding/binary"
	"errors"
	"math"
)

const (
	descSize = 16

	descNext     = 1 // VIRTQ_DESC_F_NEXT
	descWrite    = 2 // VIRTQ_DESC_F_WRITE
	descIndirect = 4 // VIRTQ_DESC_F_INDIRECT

	// maxIndirect bounds an indirect table. The specification's bound is the queue size, which drivers
	// with small queues overstep.
	maxIndirect = 1024
)

// Segments is a buffer in guest memory, in order. The guest may change its bytes at any time, so a header
// is copied out before it is looked at.
type Segments [][]byte

// Len returns the number of bytes.
func (s Segments) Len() int {
	n := 0
	for _, b := range s {
		n += len(b)
	}
	return n
}

// CopyTo copies the bytes from offset on into p and returns how many there were.
func (s Segments) CopyTo(p []byte, offset int) int {
	done := 0
	for _, b := range s {
		if offset >= len(b) {
			offset -= len(b)
			continue
		}
		done += copy(p[done:], b[offset:])
		offset = 0
	}
	return done
}

// CopyFrom copies p to the bytes from offset on and returns how many fitted.
func (s Segments) CopyFrom(p []byte, offset int) int {
	done := 0
	for _, b := range s {
		if offset >= len(b) {
			offset -= len(b)
			continue
		}
		done += copy(b[offset:], p[done:])
		offset = 0
	}
	return done
}

// AppendRange appends to dst the parts of s that hold at most n bytes from offset on.
func (s Segments) AppendRange(dst Segments, offset, n int) Segments {
	for _, b := range s {
		if n == 0 {
			break
		}
		if offset >= len(b) {
			offset -= len(b)
			continue
		}
		part := b[offset:min(len(b), offset+n)]
		dst = append(dst, part)
		n -= len(part)
		offset = 0
	}
	return dst
}

// Chain is one request of the driver: bytes for the device to read, then room for it to write.
type Chain struct {
	Head     uint16
	Readable Segments
	Writable Segments
}

// descriptor is section 2.7.5's struct virtq_desc.
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16
}

// readDescriptor copies entry i out of table, once, so that a guest cannot change it between check and use.
func readDescriptor(table []byte, i uint16) descriptor {
	var raw [descSize]byte
	copy(raw[:], table[int(i)*descSize:])
	return descriptor{
		addr:  binary.LittleEndian.Uint64(raw[0:]),
		len:   binary.LittleEndian.Uint32(raw[8:]),
		flags: binary.LittleEndian.Uint16(raw[12:]),
		next:  binary.LittleEndian.Uint16(raw[14:]),
	}
}

var (
	errLoop          = errors.New("is longer than its table: it loops")
	errNext          = errors.New("goes on outside its table")
	errEmpty         = errors.New("has an empty descriptor")
	errOrder         = errors.New("has a readable descriptor after a writable one")
	errTotal         = errors.New("is longer than 4 GiB")
	errIndirect      = errors.New("has an indirect descriptor, which was not negotiated")
	errNested        = errors.New("has an indirect descriptor in an indirect table")
	errIndirectFlags = errors.New("has an indirect descriptor with a next or write flag")
	errIndirectSize  = errors.New("has an indirect table of a bad size")
)

// walk collects the chain at head into c. It reads each descriptor once and visits no more of them than
// the table has, which ends every loop.
func (q *Queue) walk(head uint16, c *Chain) error {
	c.Head = head
	c.Readable, c.Writable = c.Readable[:0], c.Writable[:0]
	table, size, index := q.desc, int(q.size), head
	indirect := false
	total := uint64(0)
	for visited := 0; ; {
		if visited++; visited > size {
			return errLoop
		}
		d := readDescriptor(table, index)
		if d.flags&descIndirect != 0 {
			if err := q.checkIndirect(d, indirect); err != nil {
				return err
			}
			t, err := q.mem.Slice(d.addr, uint64(d.len))
			if err != nil {
				return err
			}
			// Plain descriptors may come before the one that points to a table, which is always the last.
			table, size, index = t, len(t)/descSize, 0
			indirect, visited = true, 0
			continue
		}
		if total += uint64(d.len); total > math.MaxUint32 {
			return errTotal
		}
		if err := q.addBuffer(c, d); err != nil {
			return err
		}
		if d.flags&descNext == 0 {
			return nil
		}
		if index = d.next; int(index) >= size {
			return errNext
		}
	}
}

func (q *Queue) checkIndirect(d descriptor, nested bool) error {
	switch {
	case !q.indirect:
		return errIndirect
	case nested:
		return errNested
	case d.flags&(descNext|descWrite) != 0:
		return errIndirectFlags
	case d.len == 0, d.len%descSize != 0, d.len/descSize > maxIndirect:
		return errIndirectSize
	}
	return nil
}

func (q *Queue) addBuffer(c *Chain, d descriptor) (err error) {
	if d.len == 0 {
		return errEmpty
	}
	if d.flags&descWrite != 0 {
		c.Writable, err = q.mem.appendSlices(c.Writable, d.addr, d.len)
		return err
	}
	if len(c.Writable) > 0 {
		return errOrder
	}
	c.Readable, err = q.mem.appendSlices(c.Readable, d.addr, d.len)
	return err
}
