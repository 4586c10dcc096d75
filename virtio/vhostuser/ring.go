//go:build linux

package vhostuser

import (
	"fmt"
	"sync/atomic"

	"github.com/voidbox-run/voidbox/virtio"
)

// ring is what the front end has said about one queue.
type ring struct {
	size      uint16
	base      uint16 // where the queue goes on; written when it stops
	addresses ringAddresses
	enabled   bool
	kick      *virtio.EventKick // nil while the ring is stopped
	call      ringCall
	err       ringCall

	queue *virtio.Queue // nil while the device does not run it
	ran   bool          // the device has run it since the last reset
}

// ringAddresses are addresses of the front end; all 0 means not set.
type ringAddresses struct{ desc, used, avail uint64 }

// ready reports whether nothing is missing for the device to run the ring.
func (r *ring) ready() bool {
	return r.size != 0 && r.addresses != (ringAddresses{}) && r.kick != nil && r.enabled
}

// open makes the queue of a ring that is ready.
func (r *ring) open(t *memoryTable, features uint64) error {
	cfg := virtio.QueueConfig{Size: r.size, Base: r.base, Features: features, Kick: r.kick, Call: &r.call}
	var err error
	if cfg.Desc, err = t.guestAddress(r.addresses.desc); err != nil {
		return fmt.Errorf("descriptors: %w", err)
	}
	if cfg.Avail, err = t.guestAddress(r.addresses.avail); err != nil {
		return fmt.Errorf("avail ring: %w", err)
	}
	if cfg.Used, err = t.guestAddress(r.addresses.used); err != nil {
		return fmt.Errorf("used ring: %w", err)
	}
	r.queue, err = virtio.NewQueue(t.memory, cfg)
	return err
}

// setKick replaces the kick descriptor; nil stops the ring. The device must not be running it.
func (r *ring) setKick(k *virtio.EventKick) {
	if r.kick != nil {
		_ = r.kick.Close()
	}
	r.kick = k
}

func (r *ring) close() {
	r.setKick(nil)
	r.call.set(nil)
	r.err.set(nil)
}

// ringCall is a call (or error) descriptor that the front end may replace while the device uses it.
type ringCall struct {
	event atomic.Pointer[virtio.EventFD]
}

// Signal implements virtio.Call. Without a descriptor the driver polls, and nothing is to be done.
func (c *ringCall) Signal() error {
	if e := c.event.Load(); e != nil {
		return e.Signal()
	}
	return nil
}

// set replaces the descriptor; nil removes it. A signal that went to the old one just before may have been
// lost, hence one too many on the new one.
func (c *ringCall) set(e *virtio.EventFD) {
	old := c.event.Swap(e)
	if old == nil {
		return
	}
	_ = old.Close()
	if e != nil {
		_ = e.Signal()
	}
}
