//go:build linux

// Package testnetns runs the tests of a package in network and user namespaces of their own, where they may do to devices what they
// like, whoever runs them.
package testnetns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside marks the process that is in the namespaces.
const inside = "VOIDBOX_TEST_NETNS"

// Run calls run in new namespaces, in a process of its own, with loopback up, and returns its exit status. Where there can be no
// namespaces, tests are skipped, unless VOIDBOX_REQUIRE_VM says that nothing may be.
func Run(run func() int) int {
	if os.Getenv(inside) != "" {
		if err := loopback(); err != nil {
			fmt.Fprintln(os.Stderr, "loopback:", err)
			return 1
		}
		return run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(1, exit.ExitCode())
	case os.Getenv("VOIDBOX_REQUIRE_VM") == "1":
		fmt.Fprintln(os.Stderr, "these tests need namespaces of their own:", err)
		return 1
	}
	fmt.Fprintln(os.Stderr, "skipped, since there are no namespaces:", err)
	return 0
}

func loopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
