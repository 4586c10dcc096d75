//go:build !linux

package monitor

import "syscall"

// dieWithParent: this system has no such signal. QEMU is in our process group, which the host kills as a whole.
func dieWithParent() *syscall.SysProcAttr { return nil }
