//go:build linux

package link

import "encoding/binary"

// Kind says what a record is.
type Kind uint8

const (
	kindWrap Kind = iota + 1
	// KindFrame is an Ethernet frame with its offload header, in either direction of a Frames link.
	KindFrame
	// KindRequest is a request of the device, which the plugin answers exactly once.
	KindRequest
	// KindReply answers a request.
	KindReply
	// KindNotice is a message of the device that needs no answer, such as FUSE_FORGET.
	KindNotice
	// KindEpoch says that the device was reset: what was before is nobody's business any more. The plugin reads it; the
	// device sends it with Link.NewEpoch.
	KindEpoch
)

// Tag names a request. It is the device's own: lane, slot and generation, never anything that a guest chose. To the
// plugin it is opaque.
type Tag uint64

func newTag(lane int, slot uint16, generation uint32) Tag {
	return Tag(lane)<<48 | Tag(slot)<<32 | Tag(generation)
}

func (t Tag) lane() int          { return int(t >> 48) }
func (t Tag) generation() uint32 { return uint32(t) }

// Slot is below the lane's credits and belongs to one request at a time, from Writer.CommitRequest until the reply's
// Reader.Release: an index for what the device remembers of the request.
func (t Tag) Slot() int { return int(t >> 32 & 0xffff) }

// Record is one record as Reader.Next returns it. Everything but the payload's bytes is a checked copy.
type Record struct {
	Kind Kind
	// Epoch is the number of the epoch it was written in.
	Epoch uint32
	// Net is a frame's offload header. The peer, or its guest, chose it: see NetHeader.Check.
	Net NetHeader
	// Tag is that of a request or reply.
	Tag Tag
	// Room is how many bytes a request's reply may have.
	Room uint32
	// Features are, in a KindEpoch record, the offloads that the guest's new driver accepts.
	Features Features
	// Payload lies in shared memory, where the peer may change it while it is read: copy a header out before looking at
	// it. It is valid until the next Release or Wait.
	Payload []byte
}

// header is a record's first 32 bytes as four little-endian words:
//
//	word 0   length (32 bits), kind (8), zero (24)
//	word 1   epoch (32), zero (32)
//	word 2   frame: virtio-net header, bytes 0-7   request, reply: tag      epoch: features
//	word 3   frame: bytes 8-11, zero (32)          request: room, zero (32)
//
// A wrap record has only its first two words, and nothing but its kind in them.
type header [4]uint64

func makeHeader(kind Kind, length, epoch uint32, ext0, ext1 uint64) header {
	return header{uint64(length) | uint64(kind)<<32, uint64(epoch), ext0, ext1}
}

func (h *header) length() uint32 { return uint32(h[0]) }
func (h *header) kind() Kind     { return Kind(h[0] >> 32) }
func (h *header) epoch() uint32  { return uint32(h[1]) }
func (h *header) room() uint32   { return uint32(h[3]) }

// reserved returns the bits that must be zero.
func (h *header) reserved() uint64 {
	bits := h[0]>>40 | h[1]>>32
	switch h.kind() {
	case KindFrame, KindRequest:
		return bits | h[3]>>32
	case KindNotice:
		return bits | h[2] | h[3]
	}
	return bits | h[3]
}

func (h *header) put(b []byte) {
	_ = b[recordHeader-1]
	binary.LittleEndian.PutUint64(b[0:], h[0])
	binary.LittleEndian.PutUint64(b[8:], h[1])
	binary.LittleEndian.PutUint64(b[16:], h[2])
	binary.LittleEndian.PutUint64(b[24:], h[3])
}

func putWrap(b []byte) {
	binary.LittleEndian.PutUint64(b[0:], uint64(kindWrap)<<32)
	binary.LittleEndian.PutUint64(b[8:], 0)
}
