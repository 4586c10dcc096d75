//go:build linux

package block

import (
	"encoding/binary"

	"github.com/voidbox-run/voidbox/virtio"
)

// kind is a request's type (section 5.2.6).
type kind uint32

const (
	kindIn          kind = 0
	kindOut         kind = 1
	kindFlush       kind = 4
	kindGetID       kind = 8
	kindDiscard     kind = 11
	kindWriteZeroes kind = 13
)

// status is the last byte that the device writes of a request.
type status byte

const (
	statusOK          status = 0
	statusIOError     status = 1
	statusUnsupported status = 2
)

const (
	headerSize = 16 // type, reserved, sector
	rangeSize  = 16 // sector, number of sectors, flags

	flagUnmap = 1 // of a range
)

// request is one chain from Pop to Push. A driver may cut it into descriptors as it likes, so it is two strings of bytes:
//
//	readable:  header (16 bytes), data to write or ranges
//	writable:  data read, status (the last byte)
type request struct {
	q     *queue
	chain virtio.Chain

	kind   kind
	offset int64 // of the data in the storage
	size   int   // bytes of data
	done   int   // how many of them have been moved
	room   int   // writable bytes before the status; -1 without a status

	ranges  [maxDiscardSegs]byteRange
	nRanges int
}

// byteRange is struct virtio_blk_discard_write_zeroes, in bytes.
type byteRange struct {
	offset, n int64
	unmap     bool
}

// refusal is why a request is not carried out.
type refusal struct {
	status status
	reason string
}

func (r *refusal) Error() string { return r.reason }

// Refusals are made once: a guest may earn millions of them.
var (
	errNoStatus   = &refusal{statusIOError, "there is no room for the status"}
	errNoHeader   = &refusal{statusIOError, "the header is too short"}
	errReadOnly   = &refusal{statusIOError, "the disk is read-only"}
	errKind       = &refusal{statusUnsupported, "its type is unknown"}
	errPartSector = &refusal{statusIOError, "the data are no whole sectors"}
	errPastEnd    = &refusal{statusIOError, "it goes past the end of the disk"}
	errRanges     = &refusal{statusIOError, "it has no, half or too many ranges"}
	errRangeFlags = &refusal{statusUnsupported, "a range has unknown flags"}
	errRangeSize  = &refusal{statusIOError, "a range is too long"}
)

// written returns how many writable bytes in a row, from the first on, have been written. The status is the last one.
func (r *request) written() int {
	n := 0
	if r.kind == kindIn || r.kind == kindGetID {
		n = r.done
	}
	if n == r.room {
		n++
	}
	return n
}

// parse reads the chain's header and checks what it asks for against the disk. After an error only room is of use.
func (r *request) parse(d *Device) error {
	r.kind, r.size, r.done, r.nRanges = kindFlush, 0, 0, 0
	if r.room = r.chain.Writable.Len() - 1; r.room < 0 {
		return errNoStatus
	}
	var header [headerSize]byte
	if r.chain.Readable.CopyTo(header[:], 0) < headerSize {
		return errNoHeader
	}
	r.kind = kind(binary.LittleEndian.Uint32(header[0:]))
	if d.opt.ReadOnly && (r.kind == kindOut || r.kind == kindDiscard || r.kind == kindWriteZeroes) {
		return errReadOnly
	}
	sector, payload := binary.LittleEndian.Uint64(header[8:]), r.chain.Readable.Len()-headerSize
	switch r.kind {
	case kindIn:
		return r.locate(d, sector, r.room)
	case kindOut:
		return r.locate(d, sector, payload)
	case kindDiscard:
		return r.parseRanges(d, payload, maxDiscardSegs, maxDiscardSectors)
	case kindWriteZeroes:
		return r.parseRanges(d, payload, maxZeroSegs, maxZeroSectors)
	case kindFlush, kindGetID:
		return nil
	}
	return errKind
}

// locate finds the place of size bytes of data in the storage.
func (r *request) locate(d *Device, sector uint64, size int) error {
	if size%sectorSize != 0 {
		return errPartSector
	}
	offset, ok := d.place(sector, uint64(size)/sectorSize)
	if !ok {
		return errPastEnd
	}
	r.offset, r.size = offset, size
	return nil
}

// place returns where sector is, if n sectors from there on are within the disk.
func (d *Device) place(sector, n uint64) (offset int64, ok bool) {
	if sector > d.geometry.sectors || n > d.geometry.sectors-sector {
		return 0, false
	}
	return int64(sector) * sectorSize, true
}

// parseRanges copies the ranges out and checks them all, before any of them is touched.
func (r *request) parseRanges(d *Device, payload, maxRanges int, maxSectors uint32) error {
	if payload == 0 || payload%rangeSize != 0 || payload/rangeSize > maxRanges {
		return errRanges
	}
	for at := headerSize; at < headerSize+payload; at += rangeSize {
		var raw [rangeSize]byte
		r.chain.Readable.CopyTo(raw[:], at)
		n, flags := binary.LittleEndian.Uint32(raw[8:]), binary.LittleEndian.Uint32(raw[12:])
		if flags&^flagUnmap != 0 || flags != 0 && r.kind == kindDiscard {
			return errRangeFlags
		}
		offset, ok := d.place(binary.LittleEndian.Uint64(raw[0:]), uint64(n))
		if !ok {
			return errPastEnd
		}
		if n > maxSectors {
			return errRangeSize
		}
		r.ranges[r.nRanges] = byteRange{offset: offset, n: int64(n) * sectorSize, unmap: flags&flagUnmap != 0}
		r.nRanges++
	}
	return nil
}

// String names the request in messages.
func (k kind) String() string {
	switch k {
	case kindIn:
		return "read"
	case kindOut:
		return "write"
	case kindFlush:
		return "flush"
	case kindGetID:
		return "get id"
	case kindDiscard:
		return "discard"
	case kindWriteZeroes:
		return "write zeroes"
	}
	return "unknown"
}
