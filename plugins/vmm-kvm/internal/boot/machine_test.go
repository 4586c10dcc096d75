package boot_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/acpi"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/boot"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/memory"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/power"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/uart"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/vcpu"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio"
)

// config is the machine that a test wants.
type config struct {
	kernel      string
	cpus        int
	memory      uint64
	commandLine string
}

// machine is a VM with what this package's neighbours give it, and no virtio devices.
type machine struct {
	t       *testing.T
	ram     *memory.RAM
	vm      *kvm.VM
	pio     bus.Bus
	vcpus   *vcpu.Set
	power   *power.Device
	console console
	events  events
}

// newMachine makes a machine that stands at its kernel's first instruction.
func newMachine(t *testing.T, c config) *machine {
	t.Helper()
	m := &machine{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	system, err := kvm.Open()
	must(err)
	t.Cleanup(func() { _ = system.Close() })
	m.vm, err = system.CreateVM()
	must(err)
	t.Cleanup(func() { _ = m.vm.Close() })
	must(m.vm.SetTSSAddr(layout.TSS))
	must(m.vm.SetIdentityMapAddr(layout.IdentityMapPage))
	must(m.vm.CreateIRQChip())
	m.ram, err = memory.New(c.memory, memory.Options{})
	must(err)
	t.Cleanup(func() { _ = m.ram.Close() })
	must(m.ram.Attach(m.vm))
	must(m.addDevices())
	m.vcpus, err = vcpu.New(vcpu.Config{VM: m.vm, Count: c.cpus, Memory: m.ram.Memory(), MMIO: &bus.Bus{}, PIO: &m.pio})
	must(err)
	t.Cleanup(func() { _ = m.vcpus.Close() })
	template, err := system.GetSupportedCPUID()
	must(err)
	for i := range c.cpus {
		must(cpu.Reset(m.vcpus.VCPU(i), cpu.CPUID(template, i, c.cpus)))
	}
	must(m.load(c))
	return m
}

// addDevices makes the devices on the port bus.
func (m *machine) addDevices() error {
	serial, err := m.interrupt(layout.SerialIRQ)
	if err != nil {
		return err
	}
	event, err := m.interrupt(layout.EventIRQ)
	if err != nil {
		return err
	}
	end := func(what string) func() {
		return func() { m.events.add(what); m.vcpus.Stop() }
	}
	m.power = power.New(power.Events{
		PowerOff: end("power off"), Reset: end("reset"), Panic: func() { m.events.add("panic") },
	}, event)
	return errors.Join(m.pio.Attach("serial", layout.SerialPort, 8, uart.New(&m.console, serial)), m.power.Attach(&m.pio))
}

func (m *machine) interrupt(irq uint32) (*virtio.EventFD, error) {
	line, err := virtio.NewEventFD()
	if err != nil {
		return nil, err
	}
	m.t.Cleanup(func() { _ = line.Close() })
	raw, err := line.File().SyscallConn()
	if err != nil {
		return nil, err
	}
	return line, errors.Join(raw.Control(func(fd uintptr) { err = m.vm.IRQFD(int(fd), irq) }), err)
}

func (m *machine) load(c config) error {
	mem := m.ram.Memory()
	rsdp, err := acpi.Load(mem, acpi.Machine{CPUs: c.cpus})
	if err != nil {
		return err
	}
	entry, err := boot.Load(mem, boot.Config{
		Kernel: c.kernel, Initrd: initramfs(m.t), RSDP: rsdp, CommandLine: "console=ttyS0 loglevel=4 panic=-1 " + c.commandLine,
	})
	if err != nil {
		return err
	}
	return errors.Join(entry.Tables(mem), entry.Enter(m.vcpus.VCPU(0)))
}

// initramfs has two archives: init, and a file that says that the second archive was found.
func initramfs(t *testing.T) []vmm.Segment {
	t.Helper()
	program, err := os.ReadFile(initPath(t))
	if err != nil {
		t.Fatal(err)
	}
	return []vmm.Segment{
		{Path: archive(t, cpio.StaticFile("init", string(program), 0o755))},
		{Content: archiveBytes(t, cpio.StaticFile("segment", "found", 0o644))},
	}
}

func archive(t *testing.T, records ...cpio.Record) string {
	t.Helper()
	path := t.TempDir() + "/initramfs"
	if err := os.WriteFile(path, archiveBytes(t, records...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func archiveBytes(t *testing.T, records ...cpio.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := cpio.WriteRecordsAndDirs(cpio.Newc.Writer(&b), records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(cpio.Newc.Writer(&b)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (m *machine) start() error {
	if err := m.vcpus.Launch(); err != nil {
		return err
	}
	return m.vcpus.Resume()
}

// safety ends a test whose guest hangs.
const safety = 3 * time.Minute

// await returns the events, in order, once the machine has ended.
func (m *machine) await() []string {
	m.t.Helper()
	select {
	case <-m.vcpus.Done():
	case <-time.After(safety):
		m.t.Errorf("the guest hangs; its console:\n%s", m.console.String())
		m.vcpus.Stop()
		<-m.vcpus.Done()
	}
	if f := m.vcpus.Failure(); f != nil {
		m.t.Errorf("vCPU %d: %v %v; console:\n%s", f.VCPU, f, f.State, m.console.String())
	}
	return m.events.list()
}

// console keeps what the guest says. It belongs to several threads.
type console struct {
	mu   sync.Mutex
	text strings.Builder
	wake chan struct{}
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p[0] == '\n' && c.wake != nil {
		close(c.wake)
		c.wake = nil
	}
	return c.text.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

func (c *console) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Reset()
}

// expect waits for a line of the guest's.
func (m *machine) expect(text string) {
	m.t.Helper()
	deadline := time.After(safety)
	for {
		wake := m.console.next()
		if strings.Contains(m.console.String(), text) {
			return
		}
		select {
		case <-wake:
		case <-m.vcpus.Done():
			m.t.Fatalf("the guest ended without %q:\n%s", text, m.console.String())
		case <-deadline:
			m.t.Fatalf("no %q from the guest:\n%s", text, m.console.String())
		}
	}
}

// next is closed when another line ends.
func (c *console) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wake == nil {
		c.wake = make(chan struct{})
	}
	return c.wake
}

// events are what the guest has reported.
type events struct {
	mu     sync.Mutex
	happen []string
}

func (e *events) add(what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.happen = append(e.happen, what)
}

func (e *events) list() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.happen...)
}
