//go:build linux

package net

import (
	"github.com/voidbox-run/voidbox/link"
)

// Feature bits (section 5.1.3). Those of offloads have the numbers of link.Features.
const (
	featureMTU      = 1 << 3
	featureMAC      = 1 << 5
	featureMergeRX  = 1 << 15 // VIRTIO_NET_F_MRG_RXBUF
	featureStatus   = 1 << 16
	featureControl  = 1 << 17 // VIRTIO_NET_F_CTRL_VQ
	featureMultiple = 1 << 22 // VIRTIO_NET_F_MQ

	headerSize = link.NetHeaderSize

	// maxSegments is the greatest frame that leaves segmentation to be done: an IP packet of 64 KiB.
	maxSegments = vlanHeader + 65535
)

// offered returns the offloads to offer to a driver, given those that the plugin knows and the frames that the link carries.
// Each is offered with what it requires (section 5.1.3.1), or not at all.
func offered(knows link.Features, payload int) link.Features {
	f := knows & link.NetFeatures
	if payload < maxSegments {
		f &^= link.FeatureTSO4 | link.FeatureTSO6 | link.FeatureGuestTSO4 | link.FeatureGuestTSO6
	}
	if f&link.FeatureChecksum == 0 {
		f &^= link.FeatureTSO4 | link.FeatureTSO6
	}
	if f&link.FeatureGuestChecksum == 0 {
		f &^= link.FeatureGuestTSO4 | link.FeatureGuestTSO6
	}
	return f
}

// transmitOffloads are those that a guest makes use of by itself, so that no later link may lack them.
const transmitOffloads = link.FeatureChecksum | link.FeatureTSO4 | link.FeatureTSO6

// tidy returns the header without what means nothing in it: flags that belong to the other direction, and fields of offloads
// that the frame does not use. Its reader then finds no surprises, such as a size that nobody checked.
func tidy(h link.NetHeader, flags uint8) link.NetHeader {
	t := link.NetHeader{Flags: h.Flags & flags}
	if h.Flags&link.NetNeedsChecksum != 0 {
		t.ChecksumStart, t.ChecksumOffset = h.ChecksumStart, h.ChecksumOffset
	}
	if h.GSOType&^link.NetGSOECN != link.NetGSONone {
		t.GSOType, t.GSOSize, t.HeaderLen = h.GSOType, h.GSOSize, h.HeaderLen
	}
	return t
}
