// Package guest is PID 1 of the lab. It mounts what programs expect, loads the modules, and then runs commands for the host
// until the host ends the machine. It is no program of its own: whoever boots a lab puts its own executable there as /init,
// so that there is nothing to build or to find first.
package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// Env is set in every process of the lab, by way of the kernel's command line.
const Env = "VOIDBOX_LAB"

// Where the host leaves what is for PID 1 alone, and files that were given no place.
const (
	Dir      = "/.lab"
	BootFile = Dir + "/boot.json"
	FilesDir = "/lab"
)

// Port is the virtio-serial port that leads to the host: the first device's port 1.
const Port = "/dev/vport0p1"

// Boot is what PID 1 is told, in BootFile.
type Boot struct {
	Modules []string // files to load, in order
	Root    string   // the block device with the root file system, "" to stay in memory
	Files   []string // what the host gave, by the topmost path: shown on a disk, too
}

// Inside says whether this process runs in a lab.
func Inside() bool { return os.Getenv(Env) == "1" }

// IsInit says whether this process is the lab's PID 1.
func IsInit() bool { return os.Getpid() == 1 && Inside() }

// Main is PID 1. It does not return: when it cannot go on, it says why and has the machine power off.
func Main() {
	debug.SetGCPercent(400) // little lives long, and the processor is emulated
	fmt.Fprintf(os.Stderr, "lab: %v\n", serve())
	powerOff()
}

// serve returns why it cannot go on.
func serve() error {
	text, err := os.ReadFile(BootFile)
	if err != nil {
		return err
	}
	var boot Boot
	if err := json.Unmarshal(text, &boot); err != nil {
		return fmt.Errorf("%s: %w", BootFile, err)
	}
	if err := mountSystem(); err != nil {
		return err
	}
	if err := loadModules(boot.Modules); err != nil {
		return err
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	if err := enterRoot(boot); err != nil {
		return err
	}
	if err := raiseLoopback(); err != nil {
		return err
	}
	return newServer(port).serve()
}

func powerOff() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // a PID 1 that returns is a kernel panic
}
