package monitor

import (
	"errors"
	"fmt"

	"github.com/voidbox-run/voidbox/virtio"
)

// stateVersion is the version of savedVM. What is in it has versions of its own.
const stateVersion = 1

// savedVM is all of a VM but its memory.
type savedVM struct {
	VCPUs   []byte        `json:"vcpus"` // with interrupt controllers and clock
	UART    []byte        `json:"uart"`
	Power   []byte        `json:"power"`
	Devices []savedDevice `json:"devices"` // in the order of their slots
}

type savedDevice struct {
	Name  string `json:"name"`
	State []byte `json:"state"` // of transport and device
}

// save returns the state of a VM that is paused. Devices come before the vCPUs' interrupt controllers: a device that was stopped
// raises nothing more, so that what it has raised is in the controllers or is raised again when it is resumed.
func (v *vm) save() ([]byte, error) {
	var s savedVM
	for _, d := range v.devices {
		state, err := d.transport.Save()
		if err != nil {
			return nil, fmt.Errorf("save device %s: %w", d.name, err)
		}
		s.Devices = append(s.Devices, savedDevice{d.name, state})
	}
	var errs [3]error
	s.UART, errs[0] = v.uart.SaveState()
	s.Power, errs[1] = v.power.SaveState()
	s.VCPUs, errs[2] = v.vcpus.Save()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("save the VM: %w", err)
	}
	return virtio.EncodeState(stateVersion, s)
}

// load takes over what save returned for a VM of the same machine, into one that was never started; its memory has to hold what
// the saved one's held. The VM is paused afterwards. After an error it is of no use.
func (v *vm) load(state []byte) error {
	var s savedVM
	if err := virtio.DecodeState(state, stateVersion, &s); err != nil {
		return fmt.Errorf("load the VM: %w", err)
	}
	if len(s.Devices) != len(v.devices) {
		return fmt.Errorf("load the VM: %w: it has %d devices, and this machine %d", virtio.ErrState, len(s.Devices), len(v.devices))
	}
	for i, d := range v.devices {
		if s.Devices[i].Name != d.name {
			return fmt.Errorf("load the VM: %w: device %d is %q, and in this machine %q", virtio.ErrState, i, s.Devices[i].Name, d.name)
		}
		if err := d.transport.Load(s.Devices[i].State); err != nil {
			return fmt.Errorf("load device %s: %w", d.name, err)
		}
	}
	if err := errors.Join(v.uart.LoadState(s.UART), v.power.LoadState(s.Power), v.vcpus.Load(s.VCPUs)); err != nil {
		return fmt.Errorf("load the VM: %w", err)
	}
	return nil
}
