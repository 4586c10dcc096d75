package monitor

import (
	"os"

	"github.com/voidbox-run/voidbox/internal/vmmachine"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/acpi"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/vhost"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Options are what a user may choose.
type Options struct {
	HugePages  bool   `json:"huge_pages"` // back guest memory with transparent huge pages
	Vsock      string `json:"vsock"`      // who serves the socket device: VsockUser, the default, or VsockVhost
	RuntimeDir string `json:"-"`          // where this process's own socket lies
}

// Who serves the socket device.
const (
	VsockUser  = "user"  // this process
	VsockVhost = "vhost" // the kernel
)

func (o Options) check() error {
	switch o.Vsock {
	case "", VsockUser:
		return nil
	case VsockVhost:
		f, err := os.OpenFile(vhost.DevicePath, os.O_RDWR, 0)
		if err != nil {
			return errdef.New(errdef.ErrUnavailable, "vsock = %q needs a device of the kernel's: %w", o.Vsock, err).
				WithRemedy("sudo modprobe vhost_vsock, and let your user open %s; or leave vsock out", vhost.DevicePath)
		}
		return f.Close()
	}
	return errdef.New(errdef.ErrInvalid, "vsock = %q: want %q or %q", o.Vsock, VsockUser, VsockVhost)
}

// maxCPUs is what the ACPI tables can describe, and maxMemory what was tried.
const (
	maxCPUs   = acpi.MaxCPUs
	maxMemory = 16 << 30
)

// fixedDevices is how many slots every VM needs: console, entropy, balloon, vsock.
const fixedDevices = 4

// ownCommandLine is room for what this monitor puts before the machine's command line. x86 kernels take 2047 bytes.
const ownCommandLine = 511

var limits = vmmachine.Limits{
	Backend:     "kvm",
	CPUs:        maxCPUs,
	Memory:      maxMemory,
	Disks:       layout.MaxDevices - fixedDevices,
	CommandLine: 2047 - ownCommandLine,
	Links:       []vmm.LinkKind{vmm.LinkNet, vmm.LinkFS},
}

// check returns the first thing that is wrong with a machine.
func check(m vmm.Machine) error {
	if err := vmmachine.Check(m, limits); err != nil {
		return err
	}
	if n, most := len(m.Disks)+len(m.Links), layout.MaxDevices-fixedDevices; n > most {
		return errdef.New(errdef.ErrInvalid, "%d disks and links: a machine has room for %d", n, most)
	}
	if m.Accelerator != "" && m.Accelerator != "auto" && m.Accelerator != "kvm" {
		return errdef.New(errdef.ErrUnsupported, "the kvm backend runs on kvm only, not on %s", m.Accelerator).
			WithRemedy("use backend = \"qemu\"")
	}
	return nil
}

// commandLine returns the kernel's command line: what this monitor needs, then the machine's own, which is thus stronger.
func commandLine(m vmm.Machine) string {
	const own = "console=ttyS0 8250.nr_uarts=1" + // the only serial port there is: the kernel need not look for others
		" loglevel=5" + // warnings
		" pci=off" + // there is no bus, and the kernel complains when it finds none
		" panic=-1" + // a panic resets at once, and that is the end
		" rcupdate.rcu_expedited=1" // network and mounts wait for grace periods; few CPUs make them cheap
	if m.CommandLine == "" {
		return own
	}
	return own + " " + m.CommandLine
}
