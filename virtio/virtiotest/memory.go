//go:build linux

package virtiotest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// Base is where a Memory starts in guest-physical addresses.
const Base = 0x10000

// Memory is guest memory of one region, backed by a memory file as QEMU's is, so that it can be handed over.
type Memory struct {
	*virtio.Memory
	File  *os.File
	Bytes []byte // Bytes[i] is at guest address Base+i

	t    testing.TB
	next uint64
}

// NewMemory makes size bytes of guest memory, a multiple of the page size.
func NewMemory(t testing.TB, size int) *Memory {
	t.Helper()
	fd, err := unix.MemfdCreate("guest", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "guest memory")
	t.Cleanup(func() { _ = f.Close() })
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	m, err := virtio.NewMemory(virtio.Region{Base: Base, Data: b})
	if err != nil {
		t.Fatal(err)
	}
	return &Memory{Memory: m, File: f, Bytes: b, t: t, next: Base}
}

// Alloc returns the address of n unused bytes, aligned to a page.
func (m *Memory) Alloc(n int) uint64 {
	m.t.Helper()
	const page = 4096
	addr := m.next
	m.next += (uint64(n) + page - 1) / page * page
	if m.next > Base+uint64(len(m.Bytes)) {
		m.t.Fatal("virtiotest: guest memory is used up")
	}
	return addr
}

// At returns the n bytes at addr.
func (m *Memory) At(addr uint64, n int) []byte {
	return m.Bytes[addr-Base:][:n:n]
}
