package vmmachine

import (
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Bounds of what a link may ask for.
const (
	maxTag    = 36 // virtio-fs: struct virtio_fs_config
	maxQueues = 16
	minMTU    = 68 // RFC 791; the field of virtio-net has 16 bits
	maxMTU    = 1<<16 - 1
)

func checkLinks(m vmm.Machine, l Limits) error {
	seen := map[string]bool{}
	for _, link := range m.Links {
		if !slices.Contains(l.Links, link.Kind) {
			return errdef.New(errdef.ErrUnsupported, "the %s backend has no %s devices over links", l.Backend, link.Kind)
		}
		if seen[link.ID] {
			return invalid("link id %q is used twice", link.ID)
		}
		seen[link.ID] = true
		if err := checkLink(link); err != nil {
			return err
		}
	}
	return nil
}

func checkLink(l vmm.Link) error {
	if l.ID == "" || len(l.ID) > maxTag || strings.ContainsFunc(l.ID, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return invalid("link id %q: want 1 to %d bytes without spaces", l.ID, maxTag)
	}
	if !strings.HasPrefix(l.SocketPath, "/") || len(l.SocketPath) > maxSocketPath {
		return invalid("link %s: socket path %q: want an absolute path of at most %d bytes", l.ID, l.SocketPath, maxSocketPath)
	}
	if l.Queues < 0 || l.Queues > maxQueues {
		return invalid("link %s: queues = %d: a device has between 1 and %d", l.ID, l.Queues, maxQueues)
	}
	if l.Kind != vmm.LinkNet {
		return nil
	}
	if len(l.MAC) != 6 || l.MAC[0]&1 != 0 {
		return invalid("link %s: MAC %x: want six bytes of a station's address", l.ID, l.MAC)
	}
	if l.MTU < minMTU || l.MTU > maxMTU {
		return invalid("link %s: mtu = %d: want between %d and %d", l.ID, l.MTU, minMTU, maxMTU)
	}
	return nil
}
