//go:build linux

package block

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// storage is what a disk keeps its bytes in. Offsets and lengths lie within the disk. It is safe for concurrent use.
type storage interface {
	// readv and writev move the bytes that the vector points to, or some of them; 0 without an error is the end of the file.
	readv(v *vector, offset int64, mode mode) (int, error)
	writev(v *vector, offset int64, mode mode) (int, error)
	// sync makes completed writes safe.
	sync() error
	// discard gives the bytes up: they may read as anything then. It is a hint.
	discard(offset, n int64) error
	// zero makes the bytes read as zero, and may give back the space that they take when unmap is set.
	zero(offset, n int64, unmap bool) error
}

// mode says what may happen during a read or write.
type mode int

const (
	// mayWait lets the call wait for the storage.
	mayWait mode = iota
	// mustNotWait makes it fail with errWouldWait instead.
	mustNotWait
	// mustReachDisk is mayWait for a write that is safe when it returns.
	mustReachDisk
)

// errWouldWait is returned in mode mustNotWait.
var errWouldWait = errors.New("block: would wait")

// hostFile is the storage of a device.
type hostFile struct {
	fd int
	// inMemory is set for a file system that keeps its files in memory: nothing waits for a disk there. tmpfs has no RWF_NOWAIT
	// before Linux 6.6.
	inMemory bool
	// What the file system turned out not to know is not tried again.
	readsWait, noPunch, noZeroRange atomic.Bool
	writesAnyway                    atomic.Bool
}

func newHostFile(fd int) (*hostFile, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return nil, fmt.Errorf("look at its file system: %w", err)
	}
	return &hostFile{fd: fd, inMemory: st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC}, nil
}

func (f *hostFile) readv(v *vector, offset int64, mode mode) (int, error) {
	if mode != mustNotWait || f.inMemory {
		return v.preadv2(f.fd, offset, 0)
	}
	if f.readsWait.Load() {
		return 0, errWouldWait
	}
	n, err := v.preadv2(f.fd, offset, unix.RWF_NOWAIT)
	switch err {
	case unix.EOPNOTSUPP:
		f.readsWait.Store(true)
		return 0, errWouldWait
	case unix.EAGAIN:
		return 0, errWouldWait
	}
	return n, err
}

// writev does not insist on mustNotWait where the file system cannot tell, as ext4 cannot: a write goes to the page cache, and
// waits only for a guest that has filled that.
func (f *hostFile) writev(v *vector, offset int64, mode mode) (int, error) {
	switch {
	case mode == mustReachDisk:
		return v.pwritev2(f.fd, offset, unix.RWF_DSYNC)
	case mode == mustNotWait && !f.inMemory && !f.writesAnyway.Load():
		n, err := v.pwritev2(f.fd, offset, unix.RWF_NOWAIT)
		if err == unix.EAGAIN {
			return 0, errWouldWait
		}
		if err != unix.EOPNOTSUPP {
			return n, err
		}
		f.writesAnyway.Store(true)
	}
	return v.pwritev2(f.fd, offset, 0)
}

func (f *hostFile) sync() error {
	return retry(func() error { return unix.Fdatasync(f.fd) })
}

func (f *hostFile) discard(offset, n int64) error {
	err := f.allocate(&f.noPunch, unix.FALLOC_FL_PUNCH_HOLE, offset, n)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

func (f *hostFile) zero(offset, n int64, unmap bool) error {
	err := errors.ErrUnsupported
	if unmap {
		err = f.allocate(&f.noPunch, unix.FALLOC_FL_PUNCH_HOLE, offset, n)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		err = f.allocate(&f.noZeroRange, unix.FALLOC_FL_ZERO_RANGE, offset, n)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		err = f.writeZeroes(offset, n)
	}
	return err
}

// allocate calls fallocate unless missing says that the storage does not know the operation, and notes it when that turns out.
// Block devices answer EINVAL to ranges that are not aligned to their own blocks, which is no reason to give up.
func (f *hostFile) allocate(missing *atomic.Bool, operation uint32, offset, n int64) error {
	if missing.Load() {
		return errors.ErrUnsupported
	}
	err := retry(func() error { return unix.Fallocate(f.fd, operation|unix.FALLOC_FL_KEEP_SIZE, offset, n) })
	switch err {
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.ENODEV:
		missing.Store(true)
		return errors.ErrUnsupported
	case unix.EINVAL:
		return errors.ErrUnsupported
	}
	return err
}

var zeroes [64 << 10]byte

func (f *hostFile) writeZeroes(offset, n int64) error {
	for n > 0 {
		written := 0
		err := retry(func() (err error) {
			written, err = unix.Pwrite(f.fd, zeroes[:min(n, int64(len(zeroes)))], offset)
			return err
		})
		if err != nil {
			return err
		}
		offset += int64(written)
		n -= int64(written)
	}
	return nil
}

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
