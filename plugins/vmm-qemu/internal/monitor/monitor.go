package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voidbox-run/voidbox/internal/hostmem"
	"github.com/voidbox-run/voidbox/internal/tsc"
	"github.com/voidbox-run/voidbox/internal/vmlifecycle"
	"github.com/voidbox-run/voidbox/internal/vmmachine"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/jail"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/qemu"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/qmp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// overhead is what QEMU takes beside the guest's memory, in bytes.
const overhead = 64 << 20

// limits of a machine.
var limits = vmmachine.Limits{
	Backend:     "qemu",
	CPUs:        64, // what our own kernel is built for
	Disks:       maxOptional,
	CommandLine: 1536, // x86 kernels take 2047 bytes, of which ours need some
	Links:       linkKinds(),
}

// maxOptional is how many disks and links a machine may have: QEMU's microvm has eight virtio slots, vsock and rng take two, and
// one is kept.
const maxOptional = 5

// check returns the first thing that is wrong with a machine.
func check(spec vmm.Machine) error {
	if err := vmmachine.Check(spec, limits); err != nil {
		return err
	}
	if n := len(spec.Disks) + len(spec.Links); n > maxOptional {
		return errdef.New(errdef.ErrInvalid, "%d disks and links: a machine has room for %d", n, maxOptional)
	}
	return nil
}

// Options are what a user may choose.
type Options struct {
	Program     string // path or name of QEMU; empty means the usual one
	Accelerator string // for machines that leave the choice open; empty means auto
	RuntimeDir  string // where this process's own socket lies
}

// Monitor monitors one VM.
type Monitor struct {
	opt     Options
	confine func(jail.Grants) error // nil in tests, where it would confine the test
	clock   *tsc.Meter
	events  *vmlifecycle.Events
	states  *vmlifecycle.States
	vm      *vm // set once created
}

// New returns a monitor without a VM. It confines the process once a VM is created.
func New() *Monitor {
	m := newMonitor()
	m.confine = jail.Process
	return m
}

func newMonitor() *Monitor {
	return &Monitor{clock: tsc.Start(), events: vmlifecycle.NewEvents(), states: vmlifecycle.NewStates()}
}

// Configure takes the user's choices; to be called before Create.
func (m *Monitor) Configure(opt Options) { m.opt = opt }

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
	return vmm.Created{Accelerator: made.accelerator, Monitor: "QEMU " + made.qmp.Version()}, nil
}

func (m *Monitor) create(ctx context.Context, spec vmm.Machine) (*vm, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	if err := hostmem.Local().Fit(spec.MemoryBytes, overhead, "QEMU"); err != nil {
		return nil, err
	}
	wanted := spec.Accelerator
	if wanted == "" || wanted == qemu.Auto {
		wanted = m.opt.Accelerator
	}
	accelerator, err := qemu.Choose(wanted)
	if err != nil {
		return nil, err
	}
	program, err := qemu.Find(m.opt.Program)
	if err != nil {
		return nil, err
	}
	devices, err := m.lend(ctx, spec)
	if err != nil {
		return nil, err
	}
	made, err := boot(ctx, program, spec, hostOf(accelerator, m.clock.KHz()), devices, m.onQMP, m.onConsoleLine)
	if err != nil {
		return nil, err
	}
	if err := m.lock(spec); err != nil {
		made.end()
		made.wait()
		return nil, err
	}
	return made, nil
}

// Start implements vmm.VMM.
func (m *Monitor) Start(ctx context.Context) error {
	return m.states.Change("start", vmlifecycle.Created, vmlifecycle.Running, func() error {
		return m.command(ctx, "cont", vmm.Started)
	})
}

// Pause implements vmm.VMM.
func (m *Monitor) Pause(ctx context.Context) error {
	return m.states.Change("pause", vmlifecycle.Running, vmlifecycle.Paused, func() error {
		return m.command(ctx, "stop", vmm.Paused)
	})
}

// Resume implements vmm.VMM.
func (m *Monitor) Resume(ctx context.Context) error {
	return m.states.Change("resume", vmlifecycle.Paused, vmlifecycle.Running, func() error {
		return m.command(ctx, "cont", vmm.Resumed)
	})
}

// command sends a command and records what it has brought about.
func (m *Monitor) command(ctx context.Context, name string, then vmm.EventKind) error {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	err := m.vm.qmp.Do(ctx, name, nil, nil)
	if errors.Is(err, qmp.ErrClosed) {
		return errdef.New(errdef.ErrState, "QEMU has ended: %w", err)
	}
	if err != nil {
		return fmt.Errorf("QEMU: %w", err)
	}
	m.events.Add(vmm.Event{Kind: then})
	return nil
}

// Stop implements vmm.VMM.
func (m *Monitor) Stop(ctx context.Context, grace time.Duration) error {
	err := m.states.Change("stop", vmlifecycle.None, vmlifecycle.Stopped, func() error { return nil })
	if err == nil {
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

// Relink implements vmm.VMM.
func (m *Monitor) Relink(ctx context.Context, link vmm.Link) error {
	v, err := m.existing()
	if err != nil {
		return err
	}
	d := v.devices.behind(link)
	if d == nil {
		return errdef.New(errdef.ErrNotFound, "the VM has no %s device %q", link.Kind, link.ID)
	}
	return d.relink(ctx, link.SocketPath)
}

func noSnapshots() error {
	return errdef.New(errdef.ErrUnsupported, "the qemu backend has no snapshots: guest memory is shared with its devices")
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
	counters := map[string]uint64{"console.bytes": v.ring.Written()}
	v.devices.addMetrics(counters)
	v.usage.Add(counters)
	return counters, nil
}

func (m *Monitor) existing() (*vm, error) {
	if s := m.states.Get(); s == vmlifecycle.None || s == vmlifecycle.Creating || m.vm == nil {
		return nil, errdef.New(errdef.ErrState, "there is no VM yet")
	}
	return m.vm, nil
}

// Drain ends the VM with the process.
func (m *Monitor) Drain(ctx context.Context) error { return m.Stop(ctx, 0) }
