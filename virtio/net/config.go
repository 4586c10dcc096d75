//go:build linux

package net

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/voidbox-run/voidbox/link"
)

// Config says what a network device is.
type Config struct {
	// MAC is the guest's address, a unicast one.
	MAC [6]byte
	// MTU is the greatest frame payload, from 68 to 65535; 0 means 1500. The driver is told.
	MTU int
	// Pairs is how many queue pairs the driver may use, as many as the link has lanes; 0 means 1.
	Pairs int
	// Link leads to the network: dialled with what Ask returns. The device owns it. Without one the carrier is down until
	// Relink, and the driver is offered no offloads.
	Link *link.Link
	// OnLink is told when the link goes down, with the reason, and when Relink brings a new one. It is called by one goroutine
	// at a time and must not call the device. May be nil.
	OnLink func(up bool, why error)
	// Logger receives what goes wrong; nil means slog.Default.
	Logger *slog.Logger
}

const (
	defaultMTU = 1500
	minMTU     = 68 // section 5.1.4.1
	maxMTU     = 65535
	maxPairs   = link.MaxLanes

	// An Ethernet header, and one with a VLAN tag.
	etherHeader = 14
	vlanHeader  = 18
)

// Ask returns what to dial a network plugin with for a device of that many queue pairs.
func Ask(pairs int) link.Ask {
	return link.Ask{Purpose: link.Frames, Lanes: max(pairs, 1), Features: link.NetFeatures}
}

func (c *Config) setDefaults() error {
	if c.MTU == 0 {
		c.MTU = defaultMTU
	}
	if c.Pairs == 0 {
		c.Pairs = 1
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.OnLink == nil {
		c.OnLink = func(bool, error) {}
	}
	switch {
	case c.MTU < minMTU || c.MTU > maxMTU:
		return fmt.Errorf("MTU %d: must be from %d to %d", c.MTU, minMTU, maxMTU)
	case c.Pairs < 1 || c.Pairs > maxPairs:
		return fmt.Errorf("%d queue pairs: must be from 1 to %d", c.Pairs, maxPairs)
	case c.MAC == [6]byte{}:
		return errors.New("no MAC address")
	case c.MAC[0]&1 != 0:
		return fmt.Errorf("MAC address %x is a group's", c.MAC)
	}
	return nil
}

// admit tells whether l can serve as the device's link.
func (c *Config) admit(l *link.Link) error {
	switch {
	case l.Purpose() != link.Frames:
		return fmt.Errorf("the link carries %v, not frames", l.Purpose())
	case l.Lanes() != c.Pairs:
		return fmt.Errorf("the link has %d lanes, and the device %d queue pairs", l.Lanes(), c.Pairs)
	case l.MaxPayload() < c.MTU+vlanHeader:
		return fmt.Errorf("the link carries frames of %d bytes, and an MTU of %d needs %d", l.MaxPayload(), c.MTU, c.MTU+vlanHeader)
	}
	return nil
}

const statusLinkUp = 1 // VIRTIO_NET_S_LINK_UP

// space encodes the configuration space (section 5.1.4), as far as the features that are offered define it.
func (c *Config) space(carrier bool) []byte {
	b := append(make([]byte, 0, 12), c.MAC[:]...)
	status := uint16(0)
	if carrier {
		status = statusLinkUp
	}
	b = binary.LittleEndian.AppendUint16(b, status)
	b = binary.LittleEndian.AppendUint16(b, uint16(c.Pairs))
	return binary.LittleEndian.AppendUint16(b, uint16(c.MTU))
}
