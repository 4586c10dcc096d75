package plugintest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// badMachine is one that no monitor can make.
type badMachine struct {
	name   string
	change func(s *vmmSession, m *vmm.Machine)
	kinds  []error
	says   string // what the error has to name; empty where the monitor finds its own words
}

var (
	isInvalid  = []error{errdef.ErrInvalid}
	isNotFound = []error{errdef.ErrNotFound}
	isTooMuch  = []error{errdef.ErrInvalid, errdef.ErrExhausted}
)

var badMachineCases = []badMachine{
	{"no vCPU", func(_ *vmmSession, m *vmm.Machine) { m.CPUs = 0 }, isInvalid, "0"},
	{"1000 vCPUs", func(_ *vmmSession, m *vmm.Machine) { m.CPUs = 1000 }, isInvalid, "1000"},
	{"1 MiB of memory", func(_ *vmmSession, m *vmm.Machine) { m.MemoryBytes = 1 << 20 }, isInvalid, "1 MiB"},
	{"1 TiB of memory", func(_ *vmmSession, m *vmm.Machine) { m.MemoryBytes = 1 << 40 }, isTooMuch, "1048576 MiB"},
	{"kernel missing", func(_ *vmmSession, m *vmm.Machine) { m.KernelPath = "/nonexistent/vmlinux" }, isNotFound, "/nonexistent/vmlinux"},
	{"kernel is a directory", func(s *vmmSession, m *vmm.Machine) { m.KernelPath = s.TempDir() }, isInvalid, "kernel"},
	{"kernel is text", func(s *vmmSession, m *vmm.Machine) {
		m.KernelPath = s.file("kernel", bytes.Repeat([]byte("no kernel\n"), 1000))
	}, isInvalid, "kernel"},
	{"kernel truncated", func(s *vmmSession, m *vmm.Machine) {
		m.KernelPath = s.file("kernel", s.firstHalf(m.KernelPath))
	}, isInvalid, "kernel"},
	{"kernel of another architecture", func(s *vmmSession, m *vmm.Machine) {
		m.KernelPath = s.file("kernel", foreignKernel())
	}, isInvalid, ""},
	{"initramfs missing", func(_ *vmmSession, m *vmm.Machine) { m.Initrd[0].Path = "/nonexistent.img" }, isNotFound, "/nonexistent.img"},
	{"initramfs larger than memory", func(s *vmmSession, m *vmm.Machine) {
		path := s.file("initrd", nil)
		s.must(os.Truncate(path, 2<<30))
		m.Initrd[0].Path = path
	}, isInvalid, "MiB"}, // how much is needed
	{"command line of 64 KiB", func(_ *vmmSession, m *vmm.Machine) { m.CommandLine = strings.Repeat("x", 64<<10) }, isInvalid, "command line"},
	{"disk missing", func(_ *vmmSession, m *vmm.Machine) {
		m.Disks = []vmm.Disk{{ID: "d", Path: "/nonexistent.raw"}}
	}, isNotFound, "/nonexistent.raw"},
	{"disk empty", func(s *vmmSession, m *vmm.Machine) { m.Disks = []vmm.Disk{{ID: "d", Path: s.file("disk", nil)}} }, isInvalid, "disk d"},
	{"read-only disk for writing", func(s *vmmSession, m *vmm.Machine) {
		m.Disks = []vmm.Disk{{ID: "d", Path: s.readOnlyFile()}}
	}, []error{errdef.ErrPermission, errdef.ErrInvalid}, "disk d"},
	{"two disks of one name", func(s *vmmSession, m *vmm.Machine) {
		d := vmm.Disk{ID: "d", Path: s.file("disk", make([]byte, 4096))}
		m.Disks = []vmm.Disk{d, d}
	}, isInvalid, "d"},
	{"the host's CID", func(_ *vmmSession, m *vmm.Machine) { m.Vsock.GuestCID = 2 }, isInvalid, "2"},
	{"vsock path that is taken", func(s *vmmSession, m *vmm.Machine) {
		s.must(os.WriteFile(m.Vsock.SocketPath, nil, 0o600))
	}, []error{errdef.ErrInvalid, errdef.ErrExists}, ""},
	{"name with a slash", func(_ *vmmSession, m *vmm.Machine) { m.Name = "a/b" }, isInvalid, "a/b"},
}

// badMachines gives one monitor all of them, and then a good one: a failure leaves the monitor as it was.
func badMachines(t *testing.T, h VMMHarness) {
	s := newVMMSession(t, h)
	for _, c := range badMachineCases {
		t.Run(c.name, func(t *testing.T) {
			one := *s
			one.T = t
			m := one.machine()
			wires := *m.Vsock
			m.Vsock = &wires
			c.change(&one, &m)
			one.refused(c, m)
			_ = os.Remove(m.Vsock.SocketPath) // of the case that puts a file there
		})
	}
	if t.Failed() {
		return
	}
	s.create()
}

func (s *vmmSession) refused(c badMachine, m vmm.Machine) {
	s.Helper()
	_, err := s.Create(s.ctx, m)
	if err == nil {
		s.Fatal("the machine was made")
	}
	if !strings.Contains(err.Error(), c.says) {
		s.Errorf("the error %q does not name %q", err, c.says)
	}
	for _, kind := range c.kinds {
		if errors.Is(err, kind) {
			return
		}
	}
	s.Errorf("the error %q is none of %v", err, c.kinds)
}

// file makes a file.
func (s *vmmSession) file(name string, content []byte) string {
	s.Helper()
	path := filepath.Join(s.TempDir(), name)
	s.must(os.WriteFile(path, content, 0o600))
	return path
}

func (s *vmmSession) firstHalf(path string) []byte {
	s.Helper()
	f, err := os.Open(path)
	s.must(err)
	defer f.Close()
	info, err := f.Stat()
	s.must(err)
	half, err := io.ReadAll(io.LimitReader(f, info.Size()/2))
	s.must(err)
	return half
}

// readOnlyFile returns a file that this user, root perhaps, cannot open for writing.
func (s *vmmSession) readOnlyFile() string {
	s.Helper()
	path := s.file("disk", make([]byte, 4096))
	s.must(os.Chmod(path, 0o400))
	if os.Geteuid() != 0 {
		return path
	}
	self, err := os.Executable() // a program that runs: ETXTBSY, for root too
	s.must(err)
	return self
}

// foreignKernel is the least ELF file of a 64-bit ARM.
func foreignKernel() []byte {
	var b bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_AARCH64), Version: 1, Entry: 1 << 20, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	_ = binary.Write(&b, binary.LittleEndian, header)
	_ = binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: 5, Vaddr: 1 << 20, Paddr: 1 << 20, Filesz: 4096, Memsz: 4096})
	return append(b.Bytes(), make([]byte, 8192)...)
}
