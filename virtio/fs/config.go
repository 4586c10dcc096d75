//go:build linux

package fs

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/voidbox-run/voidbox/link"
)

// Config says what a file system device is. Only Tag is mandatory.
type Config struct {
	// Tag is the name by which the guest mounts the file system: 1 to 36 bytes of UTF-8.
	Tag string
	// Queues is how many request queues there are, one less than the link has lanes; 0 means 1.
	Queues int
	// Link leads to the share plugin: dialled with what Ask returns. The device owns it. Without one, requests fail until
	// Relink.
	Link *link.Link
	// OnLink is told when the link goes down, with the reason, and when Relink brings a new one. It is called by one goroutine
	// at a time and must not call the device. May be nil.
	OnLink func(up bool, why error)
	// Drain is how long Stop waits for replies; 0 means 500 ms.
	Drain time.Duration
	// Logger receives what goes wrong; nil means slog.Default.
	Logger *slog.Logger
}

const (
	tagSize   = 36
	maxQueues = link.MaxLanes - 1

	defaultDrain = 500 * time.Millisecond
)

// Ask returns what to dial a share plugin with for a device of that many request queues.
func Ask(queues int) link.Ask {
	return link.Ask{Purpose: link.Requests, Lanes: 1 + max(queues, 1)}
}

func (c *Config) setDefaults() error {
	if c.Queues == 0 {
		c.Queues = 1
	}
	if c.Drain <= 0 {
		c.Drain = defaultDrain
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.OnLink == nil {
		c.OnLink = func(bool, error) {}
	}
	switch {
	case c.Tag == "" || len(c.Tag) > tagSize:
		return fmt.Errorf("tag of %d bytes: must be 1 to %d", len(c.Tag), tagSize)
	case !utf8.ValidString(c.Tag) || strings.Contains(c.Tag, "\x00"):
		return fmt.Errorf("tag %q is not text", c.Tag)
	case c.Queues < 1 || c.Queues > maxQueues:
		return fmt.Errorf("%d request queues: must be from 1 to %d", c.Queues, maxQueues)
	}
	return nil
}

// admit tells whether l can serve as the device's link.
func (c *Config) admit(l *link.Link) error {
	switch {
	case l.Purpose() != link.Requests:
		return fmt.Errorf("the link carries %v, not requests", l.Purpose())
	case l.Lanes() != 1+c.Queues:
		return fmt.Errorf("the link has %d lanes, and the device %d queues", l.Lanes(), 1+c.Queues)
	}
	return nil
}

// space encodes the configuration space (section 5.11.4).
func (c *Config) space() []byte {
	b := make([]byte, tagSize, tagSize+4)
	copy(b, c.Tag)
	return binary.LittleEndian.AppendUint32(b, uint32(c.Queues))
}
