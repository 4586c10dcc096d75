//go:build linux

package fs

import (
	"encoding/binary"
	"syscall"

	"github.com/voidbox-run/voidbox/virtio"
)

// FUSE messages, as far as the device knows them: a header, and bytes that it does not look at. They are little-endian
// (section 5.11.6.1).
const (
	inHeaderSize  = 40 // struct fuse_in_header
	outHeaderSize = 16 // struct fuse_out_header

	opForget      = 2
	opInterrupt   = 36
	opNotifyReply = 41
	opBatchForget = 42

	// maxErrno bounds the errors that Linux takes from a FUSE server.
	maxErrno = 511
)

// inHeader is a request's header, copied out of guest memory.
type inHeader [inHeaderSize]byte

func (h *inHeader) length() uint32 { return binary.LittleEndian.Uint32(h[0:]) }
func (h *inHeader) opcode() uint32 { return binary.LittleEndian.Uint32(h[4:]) }
func (h *inHeader) unique() uint64 { return binary.LittleEndian.Uint64(h[8:]) }

// silent tells whether the message has no reply.
func (h *inHeader) silent() bool {
	switch h.opcode() {
	case opForget, opBatchForget, opInterrupt, opNotifyReply:
		return true
	}
	return false
}

// readRequest copies the header of a chain's message out. False means that the message breaks the rules; what could be read of
// the header is returned all the same.
func readRequest(c *virtio.Chain) (h inHeader, ok bool) {
	n := c.Readable.CopyTo(h[:], 0)
	if n < inHeaderSize || h.length() < inHeaderSize || int64(h.length()) > int64(c.Readable.Len()) {
		return h, false
	}
	return h, h.silent() || c.Writable.Len() >= outHeaderSize
}

// outHeader is a reply's header, copied out of the link.
type outHeader [outHeaderSize]byte

func (h *outHeader) length() uint32 { return binary.LittleEndian.Uint32(h[0:]) }
func (h *outHeader) error() int32   { return int32(binary.LittleEndian.Uint32(h[4:])) }
func (h *outHeader) unique() uint64 { return binary.LittleEndian.Uint64(h[8:]) }

// readReply copies the header of a reply out. False means that it is not one to the request.
func readReply(payload []byte, unique uint64) (h outHeader, ok bool) {
	if copy(h[:], payload) < outHeaderSize || uint64(h.length()) != uint64(len(payload)) || h.unique() != unique {
		return h, false
	}
	e := h.error()
	return h, e == 0 || e < 0 && e >= -maxErrno && len(payload) == outHeaderSize
}

// writeError answers a chain's request with EIO and returns how many bytes that took: none where there is no room.
func writeError(c *virtio.Chain, unique uint64) int {
	if c.Writable.Len() < outHeaderSize {
		return 0
	}
	var h outHeader
	errno := int32(-int(syscall.EIO))
	binary.LittleEndian.PutUint32(h[0:], outHeaderSize)
	binary.LittleEndian.PutUint32(h[4:], uint32(errno))
	binary.LittleEndian.PutUint64(h[8:], unique)
	return c.Writable.CopyFrom(h[:], 0)
}
