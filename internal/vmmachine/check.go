package vmmachine

import (
	"fmt"
	"os"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// MinMemory is what a kernel needs beside its initramfs, in bytes.
const MinMemory = 64 << 20

// maxSocketPath is struct sockaddr_un, less the final zero.
const maxSocketPath = 107

// Limits are a monitor's own.
type Limits struct {
	Backend     string // for messages
	CPUs        int
	Memory      uint64 // in bytes; 0 means that the host alone is the limit
	Disks       int
	CommandLine int            // bytes that a machine may add to what the monitor needs
	Links       []vmm.LinkKind // the kinds that there are devices for
}

// longestSuffix is what a socket of the vsock device may have behind its path.
const longestSuffix = "_4294967295"

// Lengths of names, in bytes: of a host name's label, and of the serial number of a virtio disk.
const (
	maxName = 63
	maxID   = 20
)

// Check returns the first thing that is wrong with m, of kind errdef.ErrInvalid, errdef.ErrNotFound, errdef.ErrPermission or
// errdef.ErrUnsupported.
func Check(m vmm.Machine, l Limits) error {
	for _, check := range []func(vmm.Machine, Limits) error{
		checkName, checkCPUs, checkLinks, checkVsock, checkCommandLine, checkKernel, checkDisks, checkMemory,
	} {
		if err := check(m, l); err != nil {
			return err
		}
	}
	return nil
}

func invalid(format string, args ...any) *errdef.Error {
	return errdef.New(errdef.ErrInvalid, format, args...)
}

func checkName(m vmm.Machine, _ Limits) error {
	if !validName(m.Name) {
		return invalid("machine name %q: want 1 to 63 characters of a-z, 0-9 and hyphens between them", m.Name)
	}
	return nil
}

func validName(name string) bool {
	foreign := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, foreign) && name[0] != '-' && name[len(name)-1] != '-'
}

func checkCPUs(m vmm.Machine, l Limits) error {
	if m.CPUs < 1 || m.CPUs > l.CPUs {
		return invalid("cpus = %d: a machine has between 1 and %d", m.CPUs, l.CPUs)
	}
	return nil
}

func checkVsock(m vmm.Machine, _ Limits) error {
	if m.Vsock == nil {
		return nil
	}
	if m.Vsock.GuestCID < 3 || m.Vsock.GuestCID == 1<<32-1 {
		return invalid("guest CID %d: 0 to 2 and 4294967295 have meanings of their own", m.Vsock.GuestCID)
	}
	path := m.Vsock.SocketPath
	if room := maxSocketPath - len(longestSuffix); len(path) > room {
		return invalid("socket path %s has %d bytes: a socket's path has at most %d, and port suffixes need %d of them",
			path, len(path), maxSocketPath, len(longestSuffix)).
			WithRemedy("use a shorter directory for sockets: set XDG_RUNTIME_DIR or TMPDIR to one with at most %d bytes", room-40)
	}
	if !strings.HasPrefix(path, "/") {
		return invalid("socket path %q is not absolute", path)
	}
	return nil
}

// checkCommandLine keeps the line one line: it reaches the kernel as it is.
func checkCommandLine(m vmm.Machine, l Limits) error {
	if len(m.CommandLine) > l.CommandLine {
		return invalid("the kernel's command line has %d bytes, at most %d are allowed", len(m.CommandLine), l.CommandLine)
	}
	for _, r := range m.CommandLine {
		if r < ' ' || r == 0x7f {
			return invalid("the kernel's command line holds the control character %q", r)
		}
	}
	return nil
}

func checkDisks(m vmm.Machine, l Limits) error {
	if len(m.Disks) > l.Disks {
		return invalid("%d disks: at most %d are possible", len(m.Disks), l.Disks)
	}
	seen := map[string]bool{}
	for _, d := range m.Disks {
		if !validID(d.ID) {
			return invalid("disk id %q: want 1 to 20 letters, digits, dots, underscores or hyphens", d.ID)
		}
		if seen[d.ID] {
			return invalid("disk id %q is used twice", d.ID)
		}
		seen[d.ID] = true
		if err := checkDisk(d); err != nil {
			return err
		}
	}
	return nil
}

func validID(id string) bool {
	foreign := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}
	return id != "" && len(id) <= maxID && !strings.ContainsFunc(id, foreign)
}

func checkDisk(d vmm.Disk) error {
	flag := os.O_RDWR
	if d.ReadOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(d.Path, flag, 0)
	if err != nil {
		return fileError("disk "+d.ID, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fileError("disk "+d.ID, err)
	}
	if info.Mode().IsRegular() && info.Size() == 0 {
		return invalid("disk %s: %s is empty", d.ID, d.Path)
	}
	if !info.Mode().IsRegular() && info.Mode()&os.ModeDevice == 0 {
		return invalid("disk %s: %s is neither a file nor a device", d.ID, d.Path)
	}
	return nil
}

// checkMemory demands room for the initramfs, which is there twice while it is unpacked, and may fill half of the memory
// only; a kernel that lacks it drops files without a word.
func checkMemory(m vmm.Machine, l Limits) error {
	if l.Memory > 0 && m.MemoryBytes > l.Memory {
		return invalid("memory = %s: the %s backend gives a machine at most %s", mib(m.MemoryBytes), l.Backend, mib(l.Memory))
	}
	var initrd uint64
	for i, s := range m.Initrd {
		size, err := segmentSize(s)
		if err != nil {
			return fileError(fmt.Sprintf("initrd segment %d", i), err)
		}
		initrd += size
	}
	if need := MinMemory + 2*initrd; m.MemoryBytes < need {
		return invalid("memory = %s is too small: kernel and initramfs need %s", mib(m.MemoryBytes), mib(need+1<<20-1)).
			WithRemedy("give the sandbox more memory")
	}
	return nil
}

func segmentSize(s vmm.Segment) (uint64, error) {
	if s.Path == "" {
		return uint64(len(s.Content)), nil
	}
	info, err := os.Stat(s.Path)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, invalid("%s is not a regular file", s.Path)
	}
	return uint64(info.Size()), nil
}

func mib(bytes uint64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
