package power

import (
	"fmt"

	"github.com/voidbox-run/voidbox/virtio"
)

const stateVersion = 1

// state is what the guest has not fetched yet.
type state struct{ Due uint32 }

// SaveState returns the device's state.
func (d *Device) SaveState() ([]byte, error) {
	return virtio.EncodeState(stateVersion, state{Due: d.due.Load()})
}

// LoadState takes a state over, or leaves the device as it was. Events that are due are signalled again: the saved VM's signal
// may have been lost, and one too many does no harm.
func (d *Device) LoadState(saved []byte) error {
	var s state
	if err := virtio.DecodeState(saved, stateVersion, &s); err != nil {
		return err
	}
	if s.Due&^ButtonEvent != 0 {
		return fmt.Errorf("%w: unknown events %#x are due", virtio.ErrState, s.Due)
	}
	d.due.Store(s.Due)
	if s.Due == 0 {
		return nil
	}
	return d.irq.Signal()
}
