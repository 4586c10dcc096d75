package pluginhost

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

var cloneFlags = map[string]uintptr{
	"user":  unix.CLONE_NEWUSER,
	"mount": unix.CLONE_NEWNS,
	"pid":   unix.CLONE_NEWPID,
	"net":   unix.CLONE_NEWNET,
	"ipc":   unix.CLONE_NEWIPC,
	"uts":   unix.CLONE_NEWUTS,
}

// heedHangup undoes that SIGHUP is ignored, as nohup leaves it, since a child would inherit that, and a plugin that hangs before it
// looks at its lifeline would outlive us. To this process it makes no difference: nobody reads the channel.
var heedHangup = sync.OnceFunc(func() {
	if signal.Ignored(unix.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	}
})

// procAttr makes the child the leader of a process group, in namespaces of its own as asked. Names that are unknown are
// ignored.
func procAttr(namespaces []string) *syscall.SysProcAttr {
	heedHangup()
	attr := &syscall.SysProcAttr{
		Setpgid: true,
		// For a plugin that does not watch its lifeline, or not yet. Not SIGKILL: package sdk kills the plugin's children first.
		Pdeathsig: unix.SIGHUP,
	}
	for _, ns := range namespaces {
		attr.Cloneflags |= cloneFlags[ns]
	}
	if attr.Cloneflags&unix.CLONE_NEWUSER != 0 {
		// The same numbers inside as outside, so that files and socket peers look the same from both.
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	}
	if slices.Contains(namespaces, "pid") {
		// The first process of a PID namespace ignores signals it does not handle, and takes the namespace with it.
		attr.Pdeathsig = unix.SIGKILL
	}
	return attr
}

// namespacesRefused tells whether a start failed because the system does not allow namespaces.
func namespacesRefused(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EUSERS)
}

// awaitExit blocks until a child has ended, and leaves it to be reaped: until then neither its process ID nor its group's can
// belong to anybody else.
func awaitExit(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}
