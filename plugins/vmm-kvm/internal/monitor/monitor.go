package monitor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/voidbox-run/voidbox/internal/hostmem"
	"github.com/voidbox-run/voidbox/internal/kvmhost"
	"github.com/voidbox-run/voidbox/internal/lategc"
	"github.com/voidbox-run/voidbox/internal/version"
	"github.com/voidbox-run/voidbox/internal/vmlifecycle"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/jail"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// overhead is what this process takes beside the guest's memory, in bytes, buffers of busy devices included.
const overhead = 64 << 20

// ReasonUnusable marks a host without a KVM that stock kernels boot on.
const ReasonUnusable = "kvm_unusable"

// Monitor monitors one VM.
type Monitor struct {
	usable   func() error // says why KVM cannot be used
	opt      Options
	jail     jailer
	prepared *preparation
	events   *vmlifecycle.Events
	states   *vmlifecycle.States
	vm       *vm // set once created
}

// jailer closes the jail. Tests have one that leaves the test free.
type jailer struct {
	process func(jail.Grants) error
	vcpu    func(requests []uint32) error
}

// New returns a monitor without a VM. It confines the process once a VM is created.
func New() *Monitor {
	return &Monitor{
		usable: func() error { return kvmhost.Local().Check() },
		jail:   jailer{jail.Process, jail.VCPU},
		events: vmlifecycle.NewEvents(), states: vmlifecycle.NewStates(),
	}
}

// Configure takes the user's choices and begins to make a VM; to be called once, before Create. Where KVM cannot be used it says
// why, before anybody fetches a kernel for a VM that cannot be.
func (m *Monitor) Configure(opt Options) error {
	err := m.usable()
	var p *kvmhost.Problem
	if errors.As(err, &p) {
		return errdef.New(errdef.ErrUnavailable, "%w", p).WithReason(ReasonUnusable).WithRemedy("%s", p.Remedy)
	}
	if err == nil {
		err = opt.check()
	}
	if err != nil {
		return err
	}
	m.opt = opt
	m.prepared = prepare()
	return nil
}

// Create implements vmm.VMM.
func (m *Monitor) Create(ctx context.Context, spec vmm.Machine) (vmm.Created, error) {
	err := m.states.Change("create", vmlifecycle.None, vmlifecycle.Creating, func() error { return nil })
	if err != nil {
		return vmm.Created{}, err
	}
	made, err := m.create(ctx, spec)
	if err != nil {
		m.states.Set(vmlifecycle.None)
		return vmm.Created{}, err
	}
	m.vm = made
	m.states.Set(vmlifecycle.Created)
	go m.supervise(made)
	return vmm.Created{Accelerator: "kvm", Monitor: "voidbox " + version.String()}, nil
}

func (m *Monitor) create(ctx context.Context, spec vmm.Machine) (*vm, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	if err := hostmem.Local().Fit(spec.MemoryBytes, overhead, "the monitor"); err != nil {
		return nil, err
	}
	hw, err := m.prepared.take()
	if err != nil {
		return nil, err
	}
	made, err := m.assemble(ctx, spec, hw)
	if err != nil {
		m.prepared = prepare() // for the next attempt
	}
	return made, err
}

// Start implements vmm.VMM.
func (m *Monitor) Start(context.Context) error {
	return m.states.Change("start", vmlifecycle.Created, vmlifecycle.Running, func() error {
		// Told first: from then on the guest's own events may come.
		m.events.Add(vmm.Event{Kind: vmm.Started})
		time.AfterFunc(settleTime, settle)
		return m.vm.vcpus.Resume()
	})
}

// settleTime is how long a guest has the processors for itself before the monitor cleans up after having made it.
const settleTime = 10 * time.Second

// settle makes the process small: most of what making a VM took is garbage, and what a VM that runs takes is little.
func settle() {
	lategc.End()
	debug.SetGCPercent(50)
	debug.FreeOSMemory()
}

// Pause implements vmm.VMM.
func (m *Monitor) Pause(ctx context.Context) error {
	return m.change(ctx, "pause", vmlifecycle.Running, vmlifecycle.Paused, m.vmPause, vmm.Paused)
}

// Resume implements vmm.VMM.
func (m *Monitor) Resume(ctx context.Context) error {
	return m.change(ctx, "resume", vmlifecycle.Paused, vmlifecycle.Running, m.vmResume, vmm.Resumed)
}

func (m *Monitor) vmPause(ctx context.Context) error { return m.vm.pause(ctx) }
func (m *Monitor) vmResume(context.Context) error    { return m.vm.resume() }

// change makes a change of the VM and records what it has brought about.
func (m *Monitor) change(
	ctx context.Context, call string, from, to vmlifecycle.State, do func(context.Context) error, then vmm.EventKind,
) error {
	return m.states.Change(call, from, to, func() error {
		if err := do(ctx); err != nil {
			return err
		}
		m.events.Add(vmm.Event{Kind: then})
		return nil
	})
}

// Stop implements vmm.VMM.
func (m *Monitor) Stop(ctx context.Context, grace time.Duration) error {
	err := m.states.Change("stop", vmlifecycle.None, vmlifecycle.Stopped, func() error { return nil })
	if err == nil {
		if m.prepared != nil {
			m.prepared.discard()
		}
		m.events.Add(vmm.Event{Kind: vmm.Stopped})
		return nil
	}
	switch m.states.Get() {
	case vmlifecycle.Creating:
		return err
	case vmlifecycle.Stopped:
		if m.vm == nil {
			return nil
		}
	case vmlifecycle.Running:
		m.vm.powerDown(ctx, grace)
		m.vm.end()
	default:
		m.vm.end()
	}
	<-m.vm.done
	return nil
}

// Snapshot implements vmm.VMM.
func (m *Monitor) Snapshot(context.Context, string) error { return noSnapshots() }

// Restore implements vmm.VMM.
func (m *Monitor) Restore(context.Context, string, vmm.Wires, []vmm.Disk) error { return noSnapshots() }

func noSnapshots() error {
	return errdef.New(errdef.ErrUnsupported, "the kvm backend has no snapshots yet")
}

// Relink implements vmm.VMM.
func (m *Monitor) Relink(ctx context.Context, link vmm.Link) error {
	v, err := m.existing()
	if err != nil {
		return err
	}
	return v.relink(ctx, link)
}

// Watch implements vmm.VMM.
func (m *Monitor) Watch(ctx context.Context, fn func(vmm.Event) error) error {
	return m.events.Watch(ctx, fn)
}

// Console implements vmm.VMM.
func (m *Monitor) Console(ctx context.Context, follow bool, fn func(data []byte, lost uint64) error) error {
	v, err := m.existing()
	if err != nil {
		return err
	}
	return v.ring.Read(ctx, follow, fn)
}

// Metrics implements vmm.VMM.
func (m *Monitor) Metrics(context.Context) (map[string]uint64, error) {
	v, err := m.existing()
	if err != nil {
		return nil, err
	}
	return v.metrics(), nil
}

func (m *Monitor) existing() (*vm, error) {
	if s := m.states.Get(); s == vmlifecycle.None || s == vmlifecycle.Creating || m.vm == nil {
		return nil, errdef.New(errdef.ErrState, "there is no VM yet")
	}
	return m.vm, nil
}

// Drain ends the VM with the process.
func (m *Monitor) Drain(ctx context.Context) error {
	if err := m.Stop(ctx, 0); err != nil {
		return fmt.Errorf("end the VM: %w", err)
	}
	return nil
}
