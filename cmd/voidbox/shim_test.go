package main

import (
	"context"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/shim"
)

// storeBelow is the store that voidbox uses with this XDG_STATE_HOME.
func storeBelow(state string) (*shim.Store, error) {
	return shim.OpenStore(filepath.Join(state, "voidbox", "sandboxes"))
}

// stopAll ends what a script has left.
func stopAll(state string) {
	store, err := storeBelow(state)
	if err != nil {
		return
	}
	list, _ := store.List()
	for _, b := range list {
		_ = store.Stop(context.Background(), b.Name, 0)
	}
}

// killShim kills the process that holds a sandbox, as the kernel does when memory is short, and waits for its end.
func killShim(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: killshim name")
	}
	store, err := storeBelow(ts.Getenv("XDG_STATE_HOME"))
	ts.Check(err)
	b, err := store.Get(args[0])
	ts.Check(err)
	process, err := unix.PidfdOpen(b.Instance.PID, 0)
	ts.Check(err)
	defer unix.Close(process)
	ts.Check(unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0))
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, -1)
		if err != unix.EINTR {
			ts.Check(err)
			return
		}
	}
}

// noRuntime demands that no shim has left its socket.
func noRuntime(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: noruntime")
	}
	left, err := filepath.Glob(filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "voidbox-shim-*"))
	ts.Check(err)
	if len(left) > 0 {
		ts.Fatalf("left: %q", left)
	}
}
