package proc

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// SignalName returns the name of a signal without SIG, such as KILL.
func SignalName(sig syscall.Signal) string {
	return strings.TrimPrefix(unix.SignalName(sig), "SIG")
}

// SignalByName is the inverse. It takes the name with or without SIG, and zero is no signal.
func SignalByName(name string) syscall.Signal {
	return unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG"))
}
