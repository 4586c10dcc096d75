//go:build linux

package link

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Features are offloads, with the bit numbers of virtio-net (Virtio 1.2, section 5.1.3), so that a device model can mask
// what its driver negotiated.
type Features uint64

const (
	// FeatureChecksum: the plugin takes frames with partial checksums (VIRTIO_NET_F_CSUM).
	FeatureChecksum Features = 1 << 0
	// FeatureGuestChecksum: the guest takes them (VIRTIO_NET_F_GUEST_CSUM).
	FeatureGuestChecksum Features = 1 << 1
	// FeatureGuestTSO4 and FeatureGuestTSO6: the guest takes TCP segments larger than the MSS.
	FeatureGuestTSO4 Features = 1 << 7
	FeatureGuestTSO6 Features = 1 << 8
	// FeatureTSO4 and FeatureTSO6: the plugin takes them (VIRTIO_NET_F_HOST_TSO4, _TSO6).
	FeatureTSO4 Features = 1 << 11
	FeatureTSO6 Features = 1 << 12

	// NetFeatures are all of them.
	NetFeatures = FeatureChecksum | FeatureGuestChecksum | FeatureGuestTSO4 | FeatureGuestTSO6 | FeatureTSO4 | FeatureTSO6
)

// NetHeaderSize is the size of struct virtio_net_hdr_v1.
const NetHeaderSize = 12

// Flags and segmentation types of a NetHeader (Virtio 1.2, section 5.1.6).
const (
	NetNeedsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	NetDataValid     = 2 // VIRTIO_NET_HDR_F_DATA_VALID

	NetGSONone  = 0
	NetGSOTCPv4 = 1
	NetGSOTCPv6 = 4
	NetGSOECN   = 0x80
)

// NetHeader is struct virtio_net_hdr_v1: what a frame leaves to be done.
type NetHeader struct {
	Flags, GSOType     uint8
	HeaderLen, GSOSize uint16
	ChecksumStart      uint16 // from the start of the frame
	ChecksumOffset     uint16 // from ChecksumStart
	NumBuffers         uint16
}

// ParseNetHeader decodes the header as it stands in front of a frame in a virtqueue.
func ParseNetHeader(b [NetHeaderSize]byte) NetHeader {
	return netHeaderOf(binary.LittleEndian.Uint64(b[0:]), uint64(binary.LittleEndian.Uint32(b[8:])))
}

// Bytes encodes the header.
func (h NetHeader) Bytes() (b [NetHeaderSize]byte) {
	lo, hi := h.words()
	binary.LittleEndian.PutUint64(b[0:], lo)
	binary.LittleEndian.PutUint32(b[8:], uint32(hi))
	return b
}

func netHeaderOf(lo, hi uint64) NetHeader {
	return NetHeader{
		Flags: uint8(lo), GSOType: uint8(lo >> 8), HeaderLen: uint16(lo >> 16), GSOSize: uint16(lo >> 32),
		ChecksumStart: uint16(lo >> 48), ChecksumOffset: uint16(hi), NumBuffers: uint16(hi >> 16),
	}
}

func (h NetHeader) words() (lo, hi uint64) {
	lo = uint64(h.Flags) | uint64(h.GSOType)<<8 | uint64(h.HeaderLen)<<16 | uint64(h.GSOSize)<<32 | uint64(h.ChecksumStart)<<48
	return lo, uint64(h.ChecksumOffset) | uint64(h.NumBuffers)<<16
}

// Towards is the direction of a frame.
type Towards uint8

const (
	TowardsNetwork Towards = iota
	TowardsGuest
)

var (
	errChecksumPlace = errors.New("checksum lies outside the frame")
	errHeaderLength  = errors.New("header length lies outside the frame")
	errNoSegments    = errors.New("segmentation into pieces of 0 bytes")
	errNoPartial     = errors.New("segmentation without a partial checksum")
	errLoneECN       = errors.New("congestion notification without segmentation")
)

// Check judges the header of a frame of length bytes against the offloads that were agreed on. Whoever takes frames
// calls it, for a header is as hostile as the frame: a device model for what the guest sends, both ends for what the
// link brings.
func (h NetHeader) Check(length int, f Features, to Towards) error {
	checksum, tso4, tso6 := FeatureChecksum, FeatureTSO4, FeatureTSO6
	if to == TowardsGuest {
		checksum, tso4, tso6 = FeatureGuestChecksum, FeatureGuestTSO4, FeatureGuestTSO6
	}
	if h.Flags&NetNeedsChecksum != 0 {
		if f&checksum == 0 {
			return errors.New("partial checksum, which was not agreed on")
		}
		if int(h.ChecksumStart)+int(h.ChecksumOffset)+2 > length {
			return errChecksumPlace
		}
	}
	var needs Features
	switch h.GSOType &^ NetGSOECN {
	case NetGSONone:
		if h.GSOType != NetGSONone {
			return errLoneECN // else whoever compares the type with none would divide by a segment size of 0
		}
		return nil
	case NetGSOTCPv4:
		needs = tso4
	case NetGSOTCPv6:
		needs = tso6
	default:
		return fmt.Errorf("segmentation of type %#x", h.GSOType)
	}
	switch {
	case f&needs == 0:
		return errors.New("segmentation, which was not agreed on")
	case h.GSOSize == 0:
		return errNoSegments
	case h.Flags&NetNeedsChecksum == 0:
		return errNoPartial
	case int(h.HeaderLen) > length:
		return errHeaderLength
	}
	return nil
}
