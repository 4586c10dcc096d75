package boot

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/virtio"
)

// fakeELF is a vmlinux to be: program headers, and after them all that they name, in order.
type fakeELF struct {
	class   elf.Class
	machine elf.Machine
	kind    elf.Type
	entry   uint64
	parts   []fakePart
}

type fakePart struct {
	kind             elf.ProgType
	virtual, address uint64
	memory           uint64 // the size of data when 0
	data             []byte
}

const (
	linkBase = 0xffffffff80000000
	textAt   = 0x1000000
	dataAt   = 0x1200000
)

// newELF returns a kernel with all that a good one has.
func newELF() fakeELF {
	return fakeELF{
		class: elf.ELFCLASS64, machine: elf.EM_X86_64, kind: elf.ET_EXEC, entry: textAt,
		parts: []fakePart{
			{kind: elf.PT_LOAD, virtual: linkBase + textAt, address: textAt, data: bytes.Repeat([]byte("text"), 500)},
			{kind: elf.PT_LOAD, virtual: linkBase + dataAt, address: dataAt, memory: 0x3000, data: []byte("data")},
			{kind: elf.PT_NOTE, data: bytes.Join([][]byte{note("GNU\x00", 3, []byte("build id")), note("Xen\x00", 18, u64(textAt+0x40))}, nil)},
		},
	}
}

func u64(v uint64) []byte { return le.AppendUint64(nil, v) }

func note(name string, kind uint32, descriptor []byte) []byte {
	b := le.AppendUint32(nil, uint32(len(name)))
	b = le.AppendUint32(b, uint32(len(descriptor)))
	b = le.AppendUint32(b, kind)
	pad := func(s []byte) []byte { return append(s, make([]byte, -len(s)&3)...) }
	return append(append(b, pad([]byte(name))...), pad(descriptor)...)
}

func (e fakeELF) bytes() []byte {
	b := make([]byte, elfHeaderSize)
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA] = byte(e.class), byte(elf.ELFDATA2LSB)
	le.PutUint16(b[elfType:], uint16(e.kind))
	le.PutUint16(b[elfMachine:], uint16(e.machine))
	le.PutUint64(b[elfEntry:], e.entry)
	le.PutUint64(b[elfProgTable:], elfHeaderSize)
	le.PutUint16(b[elfProgSizeAt:], progSize)
	le.PutUint16(b[elfProgCount:], uint16(len(e.parts)))
	at := elfHeaderSize + len(e.parts)*progSize
	for _, p := range e.parts {
		size := uint64(len(p.data))
		b = le.AppendUint32(b, uint32(p.kind))
		b = le.AppendUint32(b, 0)
		for _, v := range []uint64{uint64(at), p.virtual, p.address, size, max(size, p.memory), 0} {
			b = le.AppendUint64(b, v)
		}
		at += len(p.data)
	}
	for _, p := range e.parts {
		b = append(b, p.data...)
	}
	return b
}

// newBzImage returns an image whose protected-mode part, of 2 KiB, wants 16 MiB from 16 MiB on.
func newBzImage() []byte {
	const sects, size = 3, 2048
	b := make([]byte, (sects+1)*512+size)
	b[setupSects] = sects
	le.PutUint32(b[setupSysSize:], size/16)
	le.PutUint16(b[setupBootFlag:], bootFlag)
	b[setupJump] = 0x6a // up to 0x26c, as protocol 2.15 has it
	copy(b[setupMagic:], magic)
	le.PutUint16(b[setupVersion:], 0x20f)
	b[setupLoadFlags] = loadedHigh
	le.PutUint32(b[setupInitrdMax:], 0x7fffffff)
	le.PutUint32(b[setupAlignment:], 0x200000)
	le.PutUint16(b[setupXLoadFlags:], entry64)
	le.PutUint32(b[setupCommandMax:], 2047)
	le.PutUint64(b[setupPreferred:], textAt)
	le.PutUint32(b[setupInitSize:], 16*mib)
	copy(b[(sects+1)*512:], "the protected-mode kernel")
	return b
}

// newMemory returns guest memory as a VM of so many bytes has it. Nothing is behind it until it is written to.
func newMemory(t testing.TB, bytes uint64) *virtio.Memory {
	t.Helper()
	var regions []virtio.Region
	for _, r := range layout.RAM(bytes) {
		data, err := syscall.Mmap(-1, 0, int(r.Size), syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS|syscall.MAP_NORESERVE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Munmap(data) })
		regions = append(regions, virtio.Region{Base: r.Base, Data: data})
	}
	mem, err := virtio.NewMemory(regions...)
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

func writeFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// memoryFile is a file that is not on a disk, and that can be made to misbehave.
type memoryFile struct {
	*bytes.Reader
	size    int64 // as Stat tells it
	changed time.Time
	onRead  func(f *memoryFile)
}

func newMemoryFile(b []byte) *memoryFile {
	return &memoryFile{Reader: bytes.NewReader(b), size: int64(len(b))}
}

func (f *memoryFile) ReadAt(p []byte, at int64) (int, error) {
	if f.onRead != nil {
		f.onRead(f)
	}
	return f.Reader.ReadAt(p, at)
}

func (f *memoryFile) Close() error { return nil }
func (f *memoryFile) Stat() (fs.FileInfo, error) {
	return memoryInfo{size: f.size, changed: f.changed}, nil
}

type memoryInfo struct {
	fs.FileInfo
	size    int64
	changed time.Time
}

func (i memoryInfo) Size() int64        { return i.size }
func (i memoryInfo) Mode() fs.FileMode  { return 0o600 }
func (i memoryInfo) ModTime() time.Time { return i.changed }

func newHighMemory(t *testing.T) *virtio.Memory {
	t.Helper()
	mem, err := virtio.NewMemory(virtio.Region{Base: layout.HighMemory, Data: make([]byte, 4096)})
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// writeSparse makes a file of size bytes that takes no room.
func writeSparse(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}
