package vmmachine

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

// bzImage returns an image with a valid header whose body has payload bytes.
func bzImage(payload int) []byte {
	image := make([]byte, 5*512+payload)
	image[setupSectsAt] = 4
	binary.LittleEndian.PutUint32(image[sysSizeAt:], uint32(payload/16))
	copy(image[magicAt:], magic)
	return image
}

func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var limits = Limits{
	Backend: "test", CPUs: 64, Memory: 1 << 40, Disks: 5, CommandLine: 1536, Links: []vmm.LinkKind{vmm.LinkNet},
}

func good(t *testing.T) vmm.Machine {
	return vmm.Machine{
		Name:        "box-1",
		KernelPath:  file(t, "vmlinuz", bzImage(4096)),
		Initrd:      []vmm.Segment{{Path: file(t, "base.img", make([]byte, 1<<20))}, {Content: []byte("secret")}},
		CommandLine: "quiet",
		CPUs:        1,
		MemoryBytes: 128 << 20,
		Disks:       []vmm.Disk{{ID: "root", Path: file(t, "disk", make([]byte, 512)), ReadOnly: true}},
		Wires:       vmm.Wires{Vsock: &vmm.Vsock{GuestCID: 3, SocketPath: "/run/x/vsock"}},
	}
}

func TestGoodMachinePasses(t *testing.T) {
	if err := Check(good(t), limits); err != nil {
		t.Fatal(err)
	}
}

// foreignELF is the header of an ELF file for a machine that this is not.
func foreignELF() []byte {
	var b bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_S390), Version: 1, Ehsize: 64}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	_ = binary.Write(&b, binary.LittleEndian, header)
	return append(b.Bytes(), make([]byte, 4096)...)
}

var nic = vmm.Link{Kind: vmm.LinkNet, ID: "eth0", SocketPath: "/run/x/net", MAC: []byte{2, 0, 0, 0, 0, 1}, MTU: 1500}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	cases := []struct {
		name   string
		change func(*vmm.Machine)
		kind   error
		says   string
	}{
		{"name", func(m *vmm.Machine) { m.Name = "Box,fd=3" }, errdef.ErrInvalid, "machine name"},
		{"no name", func(m *vmm.Machine) { m.Name = "" }, errdef.ErrInvalid, "machine name"},
		{"name that ends in a hyphen", func(m *vmm.Machine) { m.Name = "box-" }, errdef.ErrInvalid, "machine name"},
		{"name of 64 bytes", func(m *vmm.Machine) { m.Name = strings.Repeat("a", 64) }, errdef.ErrInvalid, "machine name"},
		{"disk id of 21 bytes", func(m *vmm.Machine) { m.Disks[0].ID = strings.Repeat("a", 21) }, errdef.ErrInvalid, "disk id"},
		{"no cpus", func(m *vmm.Machine) { m.CPUs = 0 }, errdef.ErrInvalid, "cpus = 0"},
		{"1000 cpus", func(m *vmm.Machine) { m.CPUs = 1000 }, errdef.ErrInvalid, "between 1 and 64"},
		{"no memory", func(m *vmm.Machine) { m.MemoryBytes = 0 }, errdef.ErrInvalid, "too small"},
		{"less memory than the initramfs needs", func(m *vmm.Machine) { m.MemoryBytes = 65 << 20 }, errdef.ErrInvalid, "need 67 MiB"},
		{"kernel missing", func(m *vmm.Machine) { m.KernelPath = "/nonexistent/vmlinuz" }, errdef.ErrNotFound, "/nonexistent/vmlinuz"},
		{"kernel is a directory", func(m *vmm.Machine) { m.KernelPath = t.TempDir() }, errdef.ErrInvalid, "not a regular file"},
		{"kernel truncated", func(m *vmm.Machine) { m.KernelPath = file(t, "k", bzImage(4096)[:4096]) }, errdef.ErrInvalid, "truncated: it has 4096 bytes, its header promises 6656"},
		{"kernel empty", func(m *vmm.Machine) { m.KernelPath = file(t, "k", nil) }, errdef.ErrInvalid, "too short"},
		{"kernel is text", func(m *vmm.Machine) { m.KernelPath = file(t, "k", bytes.Repeat([]byte("x"), 4096)) }, errdef.ErrInvalid, "neither an ELF"},
		{"kernel is half an ELF", func(m *vmm.Machine) {
			m.KernelPath = file(t, "k", append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 600)...))
		}, errdef.ErrInvalid, "broken ELF"},
		{"kernel for another architecture", func(m *vmm.Machine) { m.KernelPath = file(t, "k", foreignELF()) }, errdef.ErrInvalid, "an ELF file for EM_S390"},
		{"initrd missing", func(m *vmm.Machine) { m.Initrd[0].Path = "/nonexistent.img" }, errdef.ErrNotFound, "initrd segment 0"},
		{"disk missing", func(m *vmm.Machine) { m.Disks[0].Path = "/nonexistent.raw" }, errdef.ErrNotFound, "disk root"},
		{"disk empty", func(m *vmm.Machine) { m.Disks[0].Path = file(t, "d", nil) }, errdef.ErrInvalid, "is empty"},
		{"disk id", func(m *vmm.Machine) { m.Disks[0].ID = "a,b" }, errdef.ErrInvalid, "disk id"},
		{"disk twice", func(m *vmm.Machine) { m.Disks = append(m.Disks, m.Disks[0]) }, errdef.ErrInvalid, "used twice"},
		{"host's CID", func(m *vmm.Machine) { m.Vsock.GuestCID = 2 }, errdef.ErrInvalid, "guest CID 2"},
		{"socket path too long", func(m *vmm.Machine) { m.Vsock.SocketPath = "/" + strings.Repeat("x", 96) }, errdef.ErrInvalid, "at most 107"},
		{"socket path relative", func(m *vmm.Machine) { m.Vsock.SocketPath = "vsock" }, errdef.ErrInvalid, "not absolute"},
		{"too much memory", func(m *vmm.Machine) { m.MemoryBytes = 1<<40 + 1 }, errdef.ErrInvalid, "at most 1048576 MiB"},
		{"too many disks", func(m *vmm.Machine) { m.Disks = make([]vmm.Disk, 6) }, errdef.ErrInvalid, "6 disks"},
		{"link of a kind without a device", func(m *vmm.Machine) { m.Links = []vmm.Link{{Kind: vmm.LinkFS}} }, errdef.ErrUnsupported, "fs devices"},
		{"link without an id", func(m *vmm.Machine) { m.Links = []vmm.Link{{Kind: vmm.LinkNet}} }, errdef.ErrInvalid, "link id"},
		{"link id twice", func(m *vmm.Machine) { m.Links = []vmm.Link{nic, nic} }, errdef.ErrInvalid, "used twice"},
		{"link to nowhere", func(m *vmm.Machine) { l := nic; l.SocketPath = "x"; m.Links = []vmm.Link{l} }, errdef.ErrInvalid, "absolute"},
		{"group MAC", func(m *vmm.Machine) { l := nic; l.MAC = []byte{1, 0, 0, 0, 0, 1}; m.Links = []vmm.Link{l} }, errdef.ErrInvalid, "MAC 010000000001"},
		{"MTU of 0", func(m *vmm.Machine) { l := nic; l.MTU = 0; m.Links = []vmm.Link{l} }, errdef.ErrInvalid, "mtu = 0"},
		{"1000 queues", func(m *vmm.Machine) { l := nic; l.Queues = 1000; m.Links = []vmm.Link{l} }, errdef.ErrInvalid, "queues = 1000"},
		{"command line with a line end", func(m *vmm.Machine) { m.CommandLine = "a\nb" }, errdef.ErrInvalid, "control character"},
		{"command line too long", func(m *vmm.Machine) { m.CommandLine = strings.Repeat("x", 4096) }, errdef.ErrInvalid, "4096 bytes"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := good(t)
			c.change(&m)
			err := Check(m, limits)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error = %v; want kind %v, with %q", err, c.kind, c.says)
			}
		})
	}
}

func TestInitrdConcatenatesAndSeals(t *testing.T) {
	f, err := Initrd([]vmm.Segment{{Path: file(t, "a", []byte("base"))}, {Content: []byte("boot")}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	want := append([]byte("base"), make([]byte, 508)...)
	want = append(append(want, "boot"...), make([]byte, 508)...)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("initrd = %q, %v", got, err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("the sealed initrd was written to")
	}
}

func TestInitrdOfAMissingFile(t *testing.T) {
	if _, err := Initrd([]vmm.Segment{{Content: []byte("x")}, {Path: "/nonexistent"}}); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("error = %v, want ErrNotFound", err)
	}
}

func FuzzKernelHeader(f *testing.F) {
	f.Add(bzImage(64))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	path := filepath.Join(f.TempDir(), "kernel")
	f.Fuzz(func(t *testing.T, image []byte) {
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = checkKernel(vmm.Machine{KernelPath: path}, limits)
	})
}
