package shim

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// signal asks the shim to end in order, kill ends it at once.
func (b *Sandbox) signal() { b.send(unix.SIGTERM) }
func (b *Sandbox) kill()   { b.send(unix.SIGKILL) }

// send signals the shim and nobody else: the process is looked up first, and gets the signal only if the lock is held after that. While
// it is held, the process that is written down lives, and its number is nobody else's.
func (b *Sandbox) send(sig unix.Signal) {
	process, err := os.FindProcess(b.Instance.PID) // a pidfd, on Linux
	if err != nil {
		return
	}
	defer process.Release()
	lock, err := tryLock(b.dir)
	if err == nil {
		lock.Close()
		return
	}
	if errors.Is(err, errLocked) && b.Instance.PID != os.Getpid() {
		_ = process.Signal(sig)
	}
}
