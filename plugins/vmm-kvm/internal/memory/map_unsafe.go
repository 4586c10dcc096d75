package memory

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	protection = unix.PROT_READ | unix.PROT_WRITE
	anonymous  = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
)

// mapRange maps size bytes of memory, the file's from offset on if there is one, at a multiple of hugePage.
func mapRange(size uint64, opt Options, offset uint64) (mapping, error) {
	// Room to align in. Pages that are not touched cost nothing.
	whole, err := unix.Mmap(-1, 0, int(size)+hugePage, protection, anonymous)
	if err != nil {
		return mapping{}, err
	}
	skip := -uintptr(unsafe.Pointer(&whole[0])) % hugePage
	m := mapping{whole: whole, data: whole[skip : uint64(skip)+size : uint64(skip)+size]}
	if err := m.prepare(opt, offset); err != nil {
		_ = unix.Munmap(whole)
		return mapping{}, err
	}
	return m, nil
}

func (m mapping) prepare(opt Options, offset uint64) error {
	if opt.File != nil {
		if err := mapFile(m.data, opt.File, offset); err != nil {
			return err
		}
	}
	if opt.HugePages {
		// A kernel without transparent huge pages says EINVAL, and small pages it is.
		if err := unix.Madvise(m.data, unix.MADV_HUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	// A core dump of the monitor holds the monitor, not the guest's secrets.
	return unix.Madvise(m.data, unix.MADV_DONTDUMP)
}

// mapFile replaces the pages of b, which is part of a mapping of ours, by a private mapping of f.
func mapFile(b []byte, f *os.File, offset uint64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = mapFixed(b, unix.MAP_PRIVATE|unix.MAP_NORESERVE, int(fd), int64(offset))
	})
	return errors.Join(err, failed)
}

// mapFresh replaces the pages of b, which is part of a mapping of ours, by anonymous memory that nobody has touched.
func mapFresh(b []byte) error {
	if err := mapFixed(b, anonymous, -1, 0); err != nil {
		return err
	}
	return unix.Madvise(b, unix.MADV_DONTDUMP)
}

// mapFixed puts a new mapping in the place of b, which must be whole pages of a mapping of ours: MAP_FIXED asks nobody.
func mapFixed(b []byte, flags, fd int, offset int64) error {
	at := unsafe.Pointer(unsafe.SliceData(b))
	_, err := unix.MmapPtr(fd, offset, at, uintptr(len(b)), protection, flags|unix.MAP_FIXED)
	return err
}
