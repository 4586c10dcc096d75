package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/share"
)

// When a guest begins a version of a file, an inode is made in the upper directory: a copy of the host's file, a new one, or a whiteout.
// That is its time of birth, which nobody can set. A file of the host whose ctime, which nobody can set either, is later has been changed
// since then, and whoever applies the guest's version loses that. What was applied is changed on the host by that: the time is
// noted in an attribute of the upper file.
const appliedName = share.HiddenPrefix + "applied"

// conflicts tells whether the host has changed what is at a path since the guest has begun its version, of which e in the
// directory f is what stands for it.
func (d *diff) conflicts(f *os.File, name, at string) (bool, error) {
	begun, err := begun(f, name)
	if err != nil || begun.IsZero() {
		return false, err
	}
	return d.changedSince(at, begun)
}

// changedSince tells whether something at or below a path of the host's is newer. The times of a directory itself do not count.
func (d *diff) changedSince(at string, since time.Time) (bool, error) {
	info, err := d.lower.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return ctimeOf(info).After(since), nil
	}
	names, err := d.with(at, nil)
	for _, name := range names {
		if changed, err := d.changedSince(path.Join(at, name), since); changed || err != nil {
			return changed, err
		}
	}
	return false, err
}

// begun is when a guest's version was begun, or last applied; zero where the file system does not tell.
func begun(f *os.File, name string) (time.Time, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st); err != nil {
		if errors.Is(err, unix.ENOENT) {
			err = nil // a guest that runs has removed it
		}
		return time.Time{}, err
	}
	if st.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}, nil
	}
	birth := time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
	b := make([]byte, 32)
	if n, err := unix.Lgetxattr(below(f, name), appliedName, b); err == nil {
		if at, err := strconv.ParseInt(string(b[:n]), 10, 64); err == nil && at > birth.UnixNano() {
			return time.Unix(0, at), nil
		}
	}
	return birth, nil
}

// noteApplied notes that what is at a path of the host's now is the guest's version.
func (d *diff) noteApplied(at string) error {
	info, err := d.lower.Lstat(at)
	if err != nil || info.IsDir() {
		return err
	}
	f, err := d.upper.Open(path.Dir(at))
	if err != nil {
		return err
	}
	defer f.Close()
	now := strconv.FormatInt(ctimeOf(info).UnixNano(), 10)
	err = unix.Lsetxattr(below(f, path.Base(at)), appliedName, []byte(now), 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOENT) { // a symbolic link has none; a guest that runs has removed it
		return nil
	}
	return err
}

// below is the path of a name in a directory, wherever that is by now.
func below(f *os.File, name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name) }

func ctimeOf(info fs.FileInfo) time.Time {
	return time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
}
