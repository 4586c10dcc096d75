//go:build unix

// Package lock lets one process at a time, and one goroutine of it, work on something in the cache. The kernel drops a lock with
// its holder, so that a crash blocks nobody.
package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process, or another goroutine of this one, holds the lock.
var ErrLocked = errors.New("locked by another process")

// Try takes the lock or returns ErrLocked at once. The lock belongs to the open file, so it ends with the process
// at the latest.
func Try(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// poll is how often a waiter looks. flock(2) cannot be interrupted from Go, so a blocking call would outlive ctx.
const poll = 50 * time.Millisecond

// Take waits for the lock until ctx ends. waiting, unless nil, is called once if somebody else has it.
func Take(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	unlock, err = Try(path)
	if !errors.Is(err, ErrLocked) {
		return unlock, err
	}
	if waiting != nil {
		waiting()
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", path, context.Cause(ctx))
		case <-tick.C:
		}
		unlock, err = Try(path)
		if !errors.Is(err, ErrLocked) {
			return unlock, err
		}
	}
}
