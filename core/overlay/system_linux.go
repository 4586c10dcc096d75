package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/share"
)

// lock takes the lock of a directory, for one or for many.
func lock(dir string, alone bool) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("overlay: lock %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// hollow tells whether a file is far larger than what it takes on the disk: a guest can make one of 8 EiB at no cost.
func hollow(info fs.FileInfo) bool {
	const small, block = 64 << 20, 512
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Size() > small && st.Blocks*block < info.Size()/2
}

// recordOf reads the record of a name in a directory, without following it.
func recordOf(dir *os.File, name string) (share.Record, error) {
	b := make([]byte, share.MaxRecord)
	n, err := unix.Lgetxattr(below(dir, name), share.RecordName, b)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return share.Record{}, nil
	}
	if err != nil {
		return share.Record{}, fmt.Errorf("overlay: %s: %w", filepath.Join(dir.Name(), name), err)
	}
	return share.ParseRecord(b[:n])
}
