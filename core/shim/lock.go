package shim

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// errLocked says that somebody holds the lock.
var errLocked = errors.New("locked")

// tryLock takes the lock of a sandbox's directory without waiting. The lock belongs to the open file: whoever inherits the file holds
// it too, and the last one to close it frees it.
func tryLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errLocked
	}
	if err == nil {
		err = stillThere(f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// stillThere demands that the locked file is the one at its path, and its directory was not removed in the meantime.
func stillThere(f *os.File) error {
	held, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(f.Name())
	if err == nil && !os.SameFile(held, named) {
		err = os.ErrNotExist
	}
	return err
}

// Who only looks whether a shim lives holds the lock for a moment, too.
const (
	lookers  = 100
	lockPoll = 10 * time.Millisecond
)

// waitLock is tryLock that is not put off by somebody who only looks.
func waitLock(dir string) (f *os.File, err error) {
	for range lookers {
		if f, err = tryLock(dir); !errors.Is(err, errLocked) {
			return f, err
		}
		if i, e := readInstance(dir); e == nil && i.State.alive() {
			return nil, err
		}
		time.Sleep(lockPoll)
	}
	return nil, err
}
