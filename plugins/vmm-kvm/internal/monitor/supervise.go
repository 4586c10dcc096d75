package monitor

import (
	"io"
	"log/slog"

	"github.com/voidbox-run/voidbox/internal/guestconsole"
	"github.com/voidbox-run/voidbox/internal/vmlifecycle"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/vcpu"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// output is a console of the guest's: everything goes into the ring, and its lines are looked at. Each console has its own, since
// what two write at the same time are not lines of one.
func (m *Monitor) output(v *vm) io.Writer {
	return io.MultiWriter(v.ring, guestconsole.NewLines(func(line string) {
		if what, found := guestconsole.KernelPanic(line); found {
			m.panicked(what)
		}
	}))
}

func (m *Monitor) panicked(detail string) {
	if !m.events.Has(vmm.Panic) {
		m.events.Add(vmm.Event{Kind: vmm.Panic, Detail: detail})
	}
}

// supervise declares the VM stopped once it is, and says why.
func (m *Monitor) supervise(v *vm) {
	defer close(v.done)
	<-v.vcpus.Done()
	end, failure := v.vcpus.End(), v.vcpus.Failure()
	if err := v.release(); err != nil {
		slog.Warn("take the VM apart", "error", err)
	}
	m.states.Set(vmlifecycle.Stopped) // waits for a call that is under way, whose event comes before ours
	for _, e := range m.obituary(v, end, failure) {
		m.events.Add(e)
	}
	m.events.Add(vmm.Event{Kind: vmm.Stopped})
}

// obituary says why a VM has ended.
func (m *Monitor) obituary(v *vm, end vcpu.End, failure *vcpu.Failure) []vmm.Event {
	v.mu.Lock()
	how := v.ended
	v.mu.Unlock()
	switch end {
	case vcpu.Shutdown:
		how = vmm.PowerOff
	case vcpu.ResetWanted:
		how = vmm.Reset
	case vcpu.Crashed:
		m.panicked("reported by the guest to KVM")
	case vcpu.Halted:
		return []vmm.Event{{Kind: vmm.Failed, Detail: "a vCPU halted where no interrupt can wake it"}}
	case vcpu.Failed:
		return []vmm.Event{failed(failure)}
	case vcpu.Stopped:
	}
	if how == "" || how == vmm.Reset && m.events.Has(vmm.Panic) { // a panic ends in a reset, and is what counts
		return nil
	}
	return []vmm.Event{{Kind: how}}
}

// failed tells of a vCPU that could not go on, with its registers and the bytes of the instruction.
func failed(f *vcpu.Failure) vmm.Event {
	state := map[string]string{"reason": f.Reason}
	for name, value := range f.State {
		state[name] = value
	}
	return vmm.Event{Kind: vmm.Failed, Detail: f.Detail, State: state}
}
