package image

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sparse is a file that can have holes.
type sparse struct{ *os.File }

// Punch gives the room of a range back, where the file system can; nothing depends on it.
func (s sparse) Punch(offset, size int64) error {
	err := unix.Fallocate(int(s.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// usedBytes is what a file takes of its disk.
func usedBytes(info fs.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }

func changeTime(st *syscall.Stat_t) int64 { return st.Ctim.Nano() }
