package vhost

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// vringState is struct vhost_vring_state, vringFile struct vhost_vring_file.
type (
	vringState struct{ index, num uint32 }
	vringFile  struct {
		index uint32
		fd    int32
	}
)

// vringAddr is struct vhost_vring_addr. Addresses are those of this process.
type vringAddr struct {
	index, _             uint32 // flags
	desc, used, avail, _ uint64 // log of writes
}

// maxRegions is room for the pieces of any VM of ours.
const maxRegions = 8

// memTable is struct vhost_memory.
type memTable struct {
	count, _ uint32
	regions  [maxRegions]memRegion
}

// memRegion is struct vhost_memory_region.
type memRegion struct{ guest, size, host, _ uint64 }

// ioctl makes a request whose argument is a structure. T must be the one that the request is defined for.
func ioctl[T any](fd int, request uintptr, name string, arg *T) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(arg)))
	if errno != 0 {
		return fmt.Errorf("%s: %w", name, errno)
	}
	return nil
}

// addr says where a queue's rings lie. They are guest memory, outside of the Go heap, and stay mapped as long as the device runs.
func addr(index int, q *virtio.Queue) *vringAddr {
	desc, avail, used := q.Lend()
	return &vringAddr{index: uint32(index), desc: hostAddress(desc), avail: hostAddress(avail), used: hostAddress(used)}
}

// table says where guest memory lies, which stays mapped as long as the device runs.
func table(m *virtio.Memory) (*memTable, error) {
	t := &memTable{}
	for _, r := range m.Regions() {
		if t.count == maxRegions {
			return nil, fmt.Errorf("guest memory has more than %d regions", maxRegions)
		}
		t.regions[t.count] = memRegion{guest: r.Base, size: uint64(len(r.Data)), host: hostAddress(r.Data)}
		t.count++
	}
	return t, nil
}

func hostAddress(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
