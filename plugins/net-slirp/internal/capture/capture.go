// Package capture writes what the guest sends and receives as a pcap file (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap),
// with a cap. Frames are as the guest sees them: large segments are in one piece, and their checksums partial, wherever the guest's
// driver does that work.
package capture

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"time"
)

const (
	magic     = 0xa1b23c4d // nanoseconds, in the byte order of the writer
	linkType  = 1          // LINKTYPE_ETHERNET
	header    = 24
	perPacket = 16
	// maxSnap holds the greatest frame.
	maxSnap = 256 << 10
	// maxBehind bounds what waits for a slow reader. Frames beyond are left out, since nothing may hold up the guest.
	maxBehind = 4 << 20
)

// Capture is a nic.Tap that keeps frames until Run has written them.
type Capture struct {
	snap int
	left uint64 // of the limit

	mu      sync.Mutex
	pending []byte
	full    bool
	missed  uint64
	wake    chan struct{}
}

// New returns a capture of at most limit bytes in all, and snap of each frame; 0 means the whole frame.
func New(snap int, limit uint64) *Capture {
	if snap <= 0 || snap > maxSnap {
		snap = maxSnap
	}
	c := &Capture{snap: snap, left: limit, wake: make(chan struct{}, 1)}
	b := make([]byte, 0, header)
	b = binary.LittleEndian.AppendUint32(b, magic)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = binary.LittleEndian.AppendUint64(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(snap))
	b = binary.LittleEndian.AppendUint32(b, linkType)
	c.add(b)
	return c
}

// add takes a piece of the file, if it fits the limit; else the capture is full. c.mu is held, or nobody knows c yet.
func (c *Capture) add(pieces ...[]byte) {
	n := uint64(0)
	for _, p := range pieces {
		n += uint64(len(p))
	}
	if c.full = c.full || n > c.left; c.full {
		c.poke()
		return
	}
	c.left -= n
	for _, p := range pieces {
		c.pending = append(c.pending, p...)
	}
	c.poke()
}

func (c *Capture) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Frame implements nic.Tap.
func (c *Capture) Frame(frame []byte) {
	now := time.Now()
	kept := frame[:min(len(frame), c.snap)]
	var h [perPacket]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(now.Unix()))
	binary.LittleEndian.PutUint32(h[4:], uint32(now.Nanosecond()))
	binary.LittleEndian.PutUint32(h[8:], uint32(len(kept)))
	binary.LittleEndian.PutUint32(h[12:], uint32(len(frame)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) > maxBehind {
		c.missed++
		return
	}
	c.add(h[:], kept)
}

// Missed returns how many frames were left out because the reader was slow.
func (c *Capture) Missed() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.missed
}

// Run writes the file until the limit is reached, which is no error, or ctx ends.
func (c *Capture) Run(ctx context.Context, w io.Writer) error {
	var spare []byte
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
		}
		c.mu.Lock()
		b, full := c.pending, c.full
		c.pending = spare[:0]
		c.mu.Unlock()
		if len(b) > 0 {
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		if full {
			return nil
		}
		spare = b
	}
}
