package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// maxLabs bounds the labs that run at once on a machine: each may keep a processor busy and takes some gigabytes. A few more
// than there are processors, for a lab in which a test waits is idle.
func maxLabs() int { return runtime.NumCPU() + 2 }

// slotPoll is how often a waiter looks: flock(2) cannot wait for any of several locks.
const slotPoll = 200 * time.Millisecond

// takeSlot waits until fewer than maxLabs labs run. A slot is a lock on a file, so it is free when its process is gone.
func takeSlot(ctx context.Context, cacheDir string, log func(string)) (release func(), err error) {
	dir := filepath.Join(cacheDir, "lab")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	tick := time.NewTicker(slotPoll)
	defer tick.Stop()
	for first := true; ; first = false {
		for i := range maxLabs() {
			f, err := tryLock(filepath.Join(dir, fmt.Sprintf("slot%d.lock", i)))
			if err != nil {
				return nil, fmt.Errorf("lock a place for the lab: %w", err)
			}
			if f != nil {
				return func() { _ = f.Close() }, nil
			}
		}
		if first {
			log(fmt.Sprintf("waiting: %d labs run already", maxLabs()))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// tryLock returns nil where another process holds the lock.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
