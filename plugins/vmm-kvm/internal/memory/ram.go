package memory

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/virtio"
)

// hugePage is the size of a huge page. Host and guest addresses agree modulo hugePage, or KVM could not use one.
const hugePage = 2 << 20

// Options say where the bytes come from.
type Options struct {
	// File holds the memory's contents: its ranges in ascending order, one after the other. It is mapped privately: the guest's
	// writes do not reach it. Nobody may truncate it as long as the memory lives; a page that is gone is a SIGBUS.
	File *os.File
	// HugePages asks for transparent huge pages: fewer faults and cheaper address translation, for memory that the guest has not
	// touched but shares a huge page with some that it has.
	HugePages bool
}

// RAM is a guest's memory.
type RAM struct {
	ranges []layout.Range
	maps   []mapping
	memory *virtio.Memory
	file   bool
}

// mapping is one range's place in this process.
type mapping struct {
	whole []byte // as mmap returned it
	data  []byte // the part that the guest sees
}

// New maps memory of the given size, laid out by layout.RAM. The caller closes it.
func New(bytes uint64, opt Options) (*RAM, error) {
	if bytes == 0 || bytes%pageSize() != 0 {
		return nil, fmt.Errorf("%d bytes of guest memory are not a number of pages", bytes)
	}
	if err := checkFile(opt.File, bytes); err != nil {
		return nil, err
	}
	r := &RAM{file: opt.File != nil}
	regions := make([]virtio.Region, 0, 2)
	offset := uint64(0)
	for _, part := range layout.RAM(bytes) {
		m, err := mapRange(part.Size, opt, offset)
		if err != nil {
			_ = r.Close()
			return nil, fmt.Errorf("map %d MiB of guest memory: %w", part.Size>>20, err)
		}
		r.ranges = append(r.ranges, part)
		r.maps = append(r.maps, m)
		regions = append(regions, virtio.Region{Base: part.Base, Data: m.data})
		offset += part.Size
	}
	var err error
	if r.memory, err = virtio.NewMemory(regions...); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

func pageSize() uint64 { return uint64(os.Getpagesize()) }

// checkFile refuses a file that is too small: the first touch beyond its end would be a SIGBUS.
func checkFile(f *os.File, bytes uint64) error {
	if f == nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < 0 || uint64(info.Size()) < bytes {
		return fmt.Errorf("%s has %d bytes, the guest's memory has %d", f.Name(), info.Size(), bytes)
	}
	return nil
}

// Memory returns the memory for devices. It is valid until Close.
func (r *RAM) Memory() *virtio.Memory { return r.memory }

// Attach makes the memory a VM's, one slot for each range, from slot 0 on.
func (r *RAM) Attach(vm *kvm.VM) error {
	for i, part := range r.ranges {
		if err := vm.MapMemory(uint32(i), part.Base, r.maps[i].data); err != nil {
			return fmt.Errorf("guest memory at %#x: %w", part.Base, err)
		}
	}
	return nil
}

// Discard gives the n bytes at guest address addr back to the host: they read as zeroes afterwards. Both are in whole pages and
// the bytes lie in one range, else nothing happens and the error wraps virtio.ErrAddress. Several threads may call it, while the
// guest runs.
func (r *RAM) Discard(addr, n uint64) error {
	part, err := r.memory.Slice(addr, n)
	if err != nil {
		return err
	}
	if page := pageSize(); addr%page != 0 || n%page != 0 {
		return fmt.Errorf("discard %#x bytes at %#x: no whole pages: %w", n, addr, virtio.ErrAddress)
	}
	if r.file {
		// MADV_DONTNEED would bring the file's bytes back.
		return mapFresh(part)
	}
	return unix.Madvise(part, unix.MADV_DONTNEED)
}

// Close unmaps the memory. The VM and all devices must have ended.
func (r *RAM) Close() error {
	var errs []error
	for _, m := range r.maps {
		errs = append(errs, unix.Munmap(m.whole))
	}
	r.maps = nil
	return errors.Join(errs...)
}
