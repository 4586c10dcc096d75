package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox/internal/guestconsole"
	"github.com/voidbox-run/voidbox/internal/procusage"
	"github.com/voidbox-run/voidbox/internal/vmlink"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/memory"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/power"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/uart"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/vcpu"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio"
)

// vm is one VM and what it is made of.
type vm struct {
	kvm       *kvm.VM
	ram       *memory.RAM
	mmio, pio bus.Bus
	vcpus     *vcpu.Set
	devices   []*fitting // in the order of their slots
	uart      *uart.UART
	power     *power.Device
	lines     []*virtio.EventFD // interrupts of uart and power

	ring  *guestconsole.Ring
	usage *procusage.Usage

	asked atomic.Bool // we asked for the end

	mu    sync.Mutex
	ended vmm.EventKind // how the guest ended, when it did so by itself

	done chan struct{} // closed after Stopped
}

// guestEnded is told by the power device, on a vCPU's thread. The first end is the one that counts.
func (v *vm) guestEnded(how vmm.EventKind) {
	v.mu.Lock()
	if v.ended == "" {
		v.ended = how
	}
	v.mu.Unlock()
	v.vcpus.Stop()
}

// pause stops the vCPUs and then the devices.
func (v *vm) pause(ctx context.Context) error {
	if err := v.vcpus.Pause(ctx); err != nil {
		_ = v.vcpus.Resume() // those that had not come yet must not stop later
		return endedError(err)
	}
	for _, d := range v.devices {
		d.transport.Pause()
	}
	return nil
}

// resume lets devices and then vCPUs go on.
func (v *vm) resume() error {
	for _, d := range v.devices {
		d.transport.Resume()
	}
	return endedError(v.vcpus.Resume())
}

// endedError makes what vCPUs that have ended answer an error of the state.
func endedError(err error) error {
	if errors.Is(err, vcpu.ErrEnded) {
		return errdef.New(errdef.ErrState, "the VM has ended: %w", err)
	}
	return err
}

// powerDown presses the power button and gives the guest its time.
func (v *vm) powerDown(ctx context.Context, grace time.Duration) {
	if grace <= 0 {
		return
	}
	v.asked.Store(true)
	if err := v.power.PressButton(); err != nil {
		slog.Warn("press the power button", "error", err)
		return
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-v.vcpus.Done():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// end makes the vCPUs end.
func (v *vm) end() {
	v.asked.Store(true)
	v.vcpus.Stop()
}

// release takes the VM apart, in the order of who uses whom. The vCPUs are told and waited for; nobody else runs the guest.
func (v *vm) release() error {
	var errs []error
	failed := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	if v.vcpus != nil {
		failed("vCPUs", v.vcpus.Close())
	}
	for _, d := range v.devices {
		failed(d.name, d.release())
	}
	for _, line := range v.lines {
		failed("interrupt", line.Close())
	}
	if v.kvm != nil {
		failed("KVM", v.kvm.Close())
	}
	if v.ram != nil {
		failed("guest memory", v.ram.Close())
	}
	v.ring.Close()
	return errors.Join(errs...)
}

// metrics reads every counter. It may be called at any time, also when the VM has ended.
func (v *vm) metrics() map[string]uint64 {
	counters := map[string]uint64{"console.bytes": v.ring.Written(), "runtime.goroutines": uint64(runtime.NumGoroutine())}
	add := func(prefix string, more map[string]uint64) {
		for name, value := range more {
			counters[prefix+name] = value
		}
	}
	add("", v.vcpus.Counters())
	add("mmio.", v.mmio.Counters())
	add("pio.", v.pio.Counters())
	for _, d := range v.devices {
		if d.metrics != nil {
			add(d.name+".", d.metrics())
		}
	}
	v.usage.Add(counters)
	return counters
}

// relink gives a device a new link.
func (v *vm) relink(ctx context.Context, link vmm.Link) error {
	for _, d := range v.devices {
		if d.linked != nil && d.linked.Is(link) {
			return d.linked.Relink(ctx, link.SocketPath)
		}
	}
	return vmlink.Unknown(link)
}
