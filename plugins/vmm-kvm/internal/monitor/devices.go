package monitor

import (
	"errors"
	"fmt"

	"github.com/voidbox-run/voidbox/internal/vmlink"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/mmio"
)

// fitting is a virtio device and what it is fitted with.
type fitting struct {
	name    string // for logs and metrics
	device  virtio.Device
	close   func() error             // of the device; nil where there is nothing to close
	metrics func() map[string]uint64 // nil where there are none
	kicks   func([]*virtio.EventFD)  // takes the eventfds of the queues, where it is not this process that waits for them

	linked *vmlink.Device // of a device behind a link

	transport *mmio.Transport
}

// release takes the device out of a VM whose vCPUs have ended.
func (f *fitting) release() error {
	var errs []error
	if f.transport != nil {
		errs = append(errs, f.transport.Close())
	}
	if f.close != nil {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// plug puts the device into the VM's next slot. The VM owns it from then on, also after an error.
func (v *vm) plug(f *fitting) error {
	slot := layout.DeviceSlot(len(v.devices))
	v.devices = append(v.devices, f)
	err := v.wire(f, slot)
	if err != nil {
		return fmt.Errorf("device %s: %w", f.name, err)
	}
	return nil
}

// wire connects the device with registers, interrupt line and kicks.
func (v *vm) wire(f *fitting, slot layout.Slot) error {
	var err error
	if f.transport, err = mmio.New(mmio.Config{Device: f.device, Memory: v.ram.Memory(), Interrupt: v.kvm.Pin(slot.IRQ)}); err != nil {
		return err
	}
	if f.kicks != nil {
		f.kicks(f.transport.QueueEvents())
	}
	for queue, event := range f.transport.QueueEvents() {
		fd, err := descriptor(event)
		if err != nil {
			return err
		}
		kick := kvm.IOEvent{Addr: slot.Base + mmio.QueueNotify, Len: 4, DataMatch: uint64(queue), Match: true}
		if err := v.kvm.IOEventFD(fd, kick); err != nil {
			return err
		}
	}
	return v.mmio.Attach(f.name, slot.Base, layout.DeviceSize, registers{f.transport})
}

// Registers by which a driver starts, stops and resets its device (Virtio 1.2 section 4.2.2).
const (
	regQueueReady = 0x044
	regStatus     = 0x070
)

// registers are a transport's, for the threads of vCPUs: what starts or stops a device makes system calls that they must not, such
// as closing connections, and so happens on another thread. The vCPU waits for it.
type registers struct{ *mmio.Transport }

// Write implements bus.Handler.
func (r registers) Write(offset uint64, p []byte) {
	if offset != regStatus && offset != regQueueReady {
		r.Transport.Write(offset, p)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Transport.Write(offset, p)
	}()
	<-done
}
