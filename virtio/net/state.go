//go:build linux

package net

import (
	"fmt"

	"github.com/voidbox-run/voidbox/virtio"
)

const stateVersion = 1

type state struct {
	// Pairs is how many queue pairs the driver uses.
	Pairs int `json:"pairs"`
}

var _ virtio.Stateful = (*Device)(nil)

// SaveState implements virtio.Stateful. Frames in the link are not part of the state.
func (d *Device) SaveState() ([]byte, error) {
	return virtio.EncodeState(stateVersion, state{Pairs: int(d.pairs.Load())})
}

// LoadState implements virtio.Stateful. The address and the MTU are those of the new device's configuration.
func (d *Device) LoadState(b []byte) error {
	var s state
	if err := virtio.DecodeState(b, stateVersion, &s); err != nil {
		return err
	}
	if s.Pairs < 1 || s.Pairs > d.cfg.Pairs {
		return fmt.Errorf("%w: %d queue pairs in use, and the device has %d", virtio.ErrState, s.Pairs, d.cfg.Pairs)
	}
	d.pairs.Store(int32(s.Pairs))
	return nil
}
