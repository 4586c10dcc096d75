package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/guestconsole"
	"github.com/voidbox-run/voidbox/internal/procusage"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/acpi"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/boot"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/jail"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/memory"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/power"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/uart"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/vcpu"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/vhost"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio"
)

// assemble makes a VM whose vCPUs wait for their start, and closes the jail. It takes the hardware over.
func (m *Monitor) assemble(ctx context.Context, spec vmm.Machine, hw *hardware) (_ *vm, err error) {
	v := &vm{kvm: hw.vm, ring: &guestconsole.Ring{}, done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.release())
		}
	}()
	if v.ram, err = memory.New(wholePages(spec.MemoryBytes), memory.Options{HugePages: m.opt.HugePages}); err != nil {
		return nil, err
	}
	makers := m.catalogue(v, spec)
	loading := load(v.ram.Memory(), spec, len(makers))
	err = m.equip(ctx, v, spec.CPUs, makers)
	loaded := <-loading // also after an error: the loader writes to memory that is unmapped next
	if err = errors.Join(err, loaded.err); err != nil {
		return nil, err
	}
	if err := enter(v, spec.CPUs, hw.cpuid, loaded.entry); err != nil {
		return nil, err
	}
	v.usage = procusage.Open(os.Getpid())
	reserveProcessors(spec.CPUs)
	if err := m.confine(spec); err != nil {
		return nil, err
	}
	if err := v.vcpus.Launch(); err != nil {
		return nil, fmt.Errorf("start the threads of the vCPUs: %w", err)
	}
	return v, nil
}

func wholePages(bytes uint64) uint64 {
	page := uint64(os.Getpagesize())
	return (bytes + page - 1) &^ (page - 1)
}

// loaded is the outcome of load.
type loaded struct {
	entry cpu.Entry
	err   error
}

// load fills memory with all that the guest finds there, in the background.
func load(mem *virtio.Memory, spec vmm.Machine, devices int) <-chan loaded {
	out := make(chan loaded, 1)
	go func() {
		entry, err := loadNow(mem, spec, devices)
		out <- loaded{entry, err}
	}()
	return out
}

func loadNow(mem *virtio.Memory, spec vmm.Machine, devices int) (cpu.Entry, error) {
	rsdp, err := acpi.Load(mem, acpi.Machine{CPUs: spec.CPUs, Devices: devices})
	if err != nil {
		return cpu.Entry{}, err
	}
	return boot.Load(mem, boot.Config{Kernel: spec.KernelPath, Initrd: spec.Initrd, CommandLine: commandLine(spec), RSDP: rsdp})
}

// equip makes everything that hangs on buses and the vCPUs.
func (m *Monitor) equip(ctx context.Context, v *vm, cpus int, makers []maker) error {
	if err := v.ram.Attach(v.kvm); err != nil {
		return err
	}
	if err := m.addPorts(v); err != nil {
		return err
	}
	if err := addDevices(ctx, v, makers); err != nil {
		return err
	}
	var err error
	v.vcpus, err = vcpu.New(vcpu.Config{
		VM: v.kvm, Count: cpus, Memory: v.ram.Memory(), MMIO: &v.mmio, PIO: &v.pio, OnThread: m.onThread,
	})
	return err
}

// addPorts makes the devices on the port bus.
func (m *Monitor) addPorts(v *vm) error {
	serial, err := v.interrupt(layout.SerialIRQ)
	if err != nil {
		return err
	}
	v.uart = uart.New(m.output(v), serial)
	if err := v.pio.Attach("serial", layout.SerialPort, 8, v.uart); err != nil {
		return err
	}
	event, err := v.interrupt(layout.EventIRQ)
	if err != nil {
		return err
	}
	v.power = power.New(power.Events{
		PowerOff: func() { v.guestEnded(vmm.PowerOff) },
		Reset:    func() { v.guestEnded(vmm.Reset) },
		Panic:    func() { m.panicked("reported by the guest's panic device") },
	}, event)
	return v.power.Attach(&v.pio)
}

// interrupt makes an event that raises an interrupt line. The VM closes it.
func (v *vm) interrupt(irq uint32) (*virtio.EventFD, error) {
	line, err := virtio.NewEventFD()
	if err != nil {
		return nil, err
	}
	v.lines = append(v.lines, line)
	fd, err := descriptor(line)
	if err == nil {
		err = v.kvm.IRQFD(fd, irq)
	}
	if err != nil {
		return nil, fmt.Errorf("interrupt line %d: %w", irq, err)
	}
	return line, nil
}

// descriptor returns the number of an event's descriptor, good until the event is closed.
func descriptor(e *virtio.EventFD) (number int, err error) {
	raw, err := e.File().SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(fd uintptr) { number = int(fd) })
	return number, err
}

// enter gives the vCPUs their first state: the first one stands at the kernel's first instruction, the others wait.
func enter(v *vm, count int, supported []kvm.CPUIDEntry2, entry cpu.Entry) error {
	for id := range count {
		if err := cpu.Reset(v.vcpus.VCPU(id), cpu.CPUID(supported, id, count)); err != nil {
			return fmt.Errorf("vCPU %d: %w", id, err)
		}
	}
	if err := entry.Tables(v.ram.Memory()); err != nil {
		return err
	}
	return entry.Enter(v.vcpus.VCPU(0))
}

// confine closes the jail around this process, which has opened all that it needs.
func (m *Monitor) confine(spec vmm.Machine) error {
	if m.jail.process == nil {
		return nil
	}
	_ = time.Local.String() // loads the time zone, which logs need, while files can be opened
	grants := jail.Grants{Requests: kvm.RunningRequests()}
	if m.opt.Vsock == VsockVhost {
		grants.Requests = append(grants.Requests, vhost.RunningRequests()...)
		grants.Sockets = []uint32{unix.AF_VSOCK}
	}
	if spec.Vsock != nil {
		grants.Dirs = append(grants.Dirs, filepath.Dir(spec.Vsock.SocketPath))
	}
	if m.opt.RuntimeDir != "" {
		// The directory goes when the host dies, and the host's own above it when it is empty.
		grants.Dirs = append(grants.Dirs, filepath.Dir(m.opt.RuntimeDir))
	}
	if err := m.jail.process(grants); err != nil {
		return fmt.Errorf("confine the monitor: %w", err)
	}
	return nil
}

// onThread narrows the thread of a vCPU.
func (m *Monitor) onThread(int) error {
	if m.jail.vcpu == nil {
		return nil
	}
	return m.jail.vcpu([]uint32{kvm.RequestRun, kvm.RequestIRQLine})
}
