// Command init is a guest's first program that goes wrong in the way that the kernel's command line asks for behind "--".
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	how := "silent"
	if len(os.Args) > 1 {
		how = os.Args[1]
	}
	// The kernel may have no /dev/console in this initramfs, and then no standard output either.
	if console, err := os.OpenFile("/dev/console", os.O_WRONLY, 0); err == nil {
		fmt.Fprintf(console, "test init: %s\n", how)
	}
	switch how {
	case "exit":
		os.Exit(3)
	case "poweroff":
		_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	case "reboot":
		_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	case "chatter":
		console, _ := os.OpenFile("/dev/console", os.O_WRONLY, 0)
		for {
			fmt.Fprintln(console, "still booting, honestly")
			_ = syscall.Nanosleep(&syscall.Timespec{Nsec: 50e6}, nil)
		}
	}
	for {
		_ = syscall.Nanosleep(&syscall.Timespec{Sec: 1000}, nil)
	}
}
