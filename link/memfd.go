//go:build linux

package link

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// seals keep the memory as large as it is: no access through a mapping can then end in SIGBUS.
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// createMemory makes sealed, zeroed shared memory. The caller closes fd and unmaps mem.
func createMemory(size int64) (fd int, mem []byte, err error) {
	fd, err = unix.MemfdCreate("voidbox-link", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("voidbox-link", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return -1, nil, fmt.Errorf("link memory: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
			fd = -1
		}
	}()
	if err = unix.Ftruncate(fd, size); err != nil {
		return fd, nil, fmt.Errorf("link memory of %d bytes: %w", size, err)
	}
	if _, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fd, nil, fmt.Errorf("seal link memory: %w", err)
	}
	mem, err = mapMemory(fd, size)
	return fd, mem, err
}

// openMemory maps memory that a peer sent; it has to be a sealed memfd of exactly size bytes. fd stays the caller's.
func openMemory(fd int, size int64) ([]byte, error) {
	have, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("link memory is not a memfd: %w", err)
	}
	if have&seals != seals {
		return nil, fmt.Errorf("link memory has seals %#x: it must not be able to shrink or grow", have)
	}
	// Huge pages can be taken away under a mapping in spite of the seals.
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return nil, fmt.Errorf("link memory: %w", err)
	}
	if fs.Type != unix.TMPFS_MAGIC {
		return nil, fmt.Errorf("link memory is of file system %#x, not of ordinary pages", fs.Type)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("link memory: %w", err)
	}
	if st.Size != size {
		return nil, fmt.Errorf("link memory has %d bytes, and its rings need %d", st.Size, size)
	}
	return mapMemory(fd, size)
}

func mapMemory(fd int, size int64) ([]byte, error) {
	mem, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map link memory: %w", err)
	}
	return mem, nil
}
