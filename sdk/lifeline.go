package sdk

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watchLifeline ends the process when the host is gone. The host holds the writing end of a pipe and never writes; the kernel
// closes it however the host dies, which no signal and no parent-death setting promises. An empty fd means no lifeline.
func watchLifeline(fd, runtimeDir string) error {
	if fd == "" {
		return nil
	}
	n, err := strconv.Atoi(fd)
	if err != nil || n < 3 {
		return fmt.Errorf("%s=%q is no descriptor", EnvLifeline, fd)
	}
	var st unix.Stat_t
	if err := unix.Fstat(n, &st); err != nil {
		return fmt.Errorf("%s=%s: %w", EnvLifeline, fd, err)
	}
	// Children must not keep it, and a read must not hold a thread.
	unix.CloseOnExec(n)
	if err := unix.SetNonblock(n, true); err != nil {
		return fmt.Errorf("%s=%s: %w", EnvLifeline, fd, err)
	}
	pipe := os.NewFile(uintptr(n), "lifeline")
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, unix.SIGHUP)
	go func() {
		// The kernel sends it when the host's thread that started us ends, which can be before the pipe is closed.
		<-hangup
		die(runtimeDir)
	}()
	go func() {
		buf := make([]byte, 64)
		for {
			if _, err := pipe.Read(buf); err != nil {
				die(runtimeDir)
			}
		}
	}()
	return nil
}

// cleanupLimit bounds the time that the files of a dead host may cost.
const cleanupLimit = 200 * time.Millisecond

var dying sync.Mutex

// die ends the process and its children at once. The private directory goes first, since nobody is left to remove it; the
// host's own directory goes with the last plugin's.
func die(runtimeDir string) {
	dying.Lock() // never unlocked: once is enough
	cleaned := make(chan struct{})
	go func() {
		defer close(cleaned)
		if filepath.IsAbs(runtimeDir) {
			os.RemoveAll(runtimeDir)
			os.Remove(filepath.Dir(runtimeDir))
		}
	}()
	select {
	case <-cleaned:
	case <-time.After(cleanupLimit):
	}
	// The whole group, this process included, if it is ours: a host starts each plugin as the leader of one.
	if unix.Getpgrp() == os.Getpid() {
		unix.Kill(0, unix.SIGKILL)
	}
	os.Exit(1)
}
