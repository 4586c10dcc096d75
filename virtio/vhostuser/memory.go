//go:build linux

package vhostuser

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// maxMapping bounds one mapping, well inside the address space that a process has.
const maxMapping = 1 << 44

// mapping is one region of the memory table. The front end names ring addresses in its own address space
// (user) and buffers in the guest's (guest).
type mapping struct {
	guest, user, size, offset uint64
	mapped                    []byte // the file from its start, since huge pages restrict offsets
}

func (r mapping) data() []byte { return r.mapped[r.offset : r.offset+r.size] }

// memoryTable is the guest memory that is mapped.
type memoryTable struct {
	mappings []mapping
	memory   *virtio.Memory
}

// newMemoryTable maps what a SET_MEM_TABLE message describes: a count, padding, and for each region its guest
// address, size, front-end address and offset in its file.
func newMemoryTable(m *message) (_ *memoryTable, err error) {
	if len(m.payload) < 8 {
		return nil, errors.New("no room for the number of regions")
	}
	n := int(min(m.u32(0), maxRegions+1))
	if n == 0 || n > maxRegions || len(m.payload) < 8+n*regionSize || len(m.fds) != n {
		return nil, fmt.Errorf("%d regions in %d bytes with %d file descriptors", n, len(m.payload), len(m.fds))
	}
	t := &memoryTable{}
	defer func() {
		if err != nil {
			t.unmap()
		}
	}()
	regions := make([]virtio.Region, 0, n)
	for i := range n {
		at := 8 + i*regionSize
		r := mapping{guest: m.u64(at), size: m.u64(at + 8), user: m.u64(at + 16), offset: m.u64(at + 24)}
		fd, err := m.takeFD()
		if err != nil {
			return nil, err
		}
		err = r.mapFile(fd)
		_ = unix.Close(fd)
		if err != nil {
			return nil, fmt.Errorf("region at %#x: %w", r.guest, err)
		}
		t.mappings = append(t.mappings, r)
		regions = append(regions, virtio.Region{Base: r.guest, Data: r.data()})
	}
	t.memory, err = virtio.NewMemory(regions...)
	return t, err
}

// mapFile maps the region's file, which must be a file and reach far enough: a page past its end would be a
// SIGBUS.
func (r *mapping) mapFile(fd int) error {
	if r.size == 0 || r.size > maxMapping || r.offset > maxMapping {
		return fmt.Errorf("%#x bytes at offset %#x", r.size, r.offset)
	}
	if r.user+r.size < r.user {
		return fmt.Errorf("front-end address %#x wraps around", r.user)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	length := r.offset + r.size
	if st.Mode&unix.S_IFMT != unix.S_IFREG || uint64(st.Size) < length {
		return fmt.Errorf("not a file of %#x bytes: mode %#o, size %#x", length, st.Mode, st.Size)
	}
	// Huge pages are mapped and unmapped whole; the file's block size is that of its pages.
	if page := uint64(st.Blksize); page > 0 {
		length = (length + page - 1) / page * page
	}
	b, err := unix.Mmap(fd, 0, int(length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	r.mapped = b
	_ = unix.Madvise(b, unix.MADV_DONTDUMP) // guest memory stays out of our core dumps
	return nil
}

// guestAddress translates an address of the front end.
func (t *memoryTable) guestAddress(user uint64) (uint64, error) {
	for _, r := range t.mappings {
		if user >= r.user && user-r.user < r.size {
			return r.guest + (user - r.user), nil
		}
	}
	return 0, fmt.Errorf("front-end address %#x: %w", user, virtio.ErrAddress)
}

// unmap ends the use of the memory; all devices must have stopped.
func (t *memoryTable) unmap() {
	if t == nil {
		return
	}
	for _, r := range t.mappings {
		_ = unix.Munmap(r.mapped)
	}
	t.mappings, t.memory = nil, nil
}
