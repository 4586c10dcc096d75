package lab

import (
	"fmt"
	"strings"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/test/lab/internal/guest"
)

// Descriptors as QEMU has them, in the order of ExtraFiles.
const (
	controlFD = 3 + iota
	consoleFD
	monitorFD
	initrdFD
)

// arguments is QEMU's command line: an AMD machine with nested virtualization, all of it emulated.
func arguments(cfg Config, kernel image.Kernel, tscKHz uint64) []string {
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-M", "q35,accel=tcg,usb=off,vmport=off,smbus=off", "-cpu", "max,+svm,+npt",
		"-smp", fmt.Sprint(cfg.CPUs), "-m", fmt.Sprint(cfg.MemoryMiB),
		"-kernel", kernel.Path, "-initrd", fmt.Sprintf("/proc/self/fd/%d", initrdFD), "-append", commandLine(tscKHz),
		"-chardev", fmt.Sprintf("socket,id=console,fd=%d", consoleFD), "-serial", "chardev:console",
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", monitorFD), "-mon", "chardev=monitor,mode=readline",
		"-chardev", fmt.Sprintf("socket,id=control,fd=%d", controlFD),
		"-device", "virtio-serial-pci,max_ports=2", "-device", "virtserialport,chardev=control,nr=1",
	}
	if cfg.CountInstructions {
		args = append(args, "-icount", "shift=0,sleep=off")
	}
	if cfg.Disk != "" {
		args = append(args, "-drive", drive(Drive{Path: cfg.Disk}))
	}
	for _, d := range cfg.Drives {
		args = append(args, "-drive", drive(d))
	}
	return args
}

func drive(d Drive) string {
	snapshot := "on"
	if d.Writable {
		snapshot = "off"
	}
	return "if=virtio,format=raw,snapshot=" + snapshot + ",file=" + strings.ReplaceAll(d.Path, ",", ",,")
}

// commandLine is the kernel's. What it does not know goes into the environment of PID 1. The kernel talks as it boots, which
// costs nothing that can be measured: until PID 1 is up it is the only sign of life.
//
// On a busy host the emulated timers come late. Where the kernel tests one at that moment, it hangs, and where it measures its
// clock by one, that runs at half or twice its speed from then on (both seen): so it tests none, and is told.
//
// QEMU loses an interrupt of the timer now and then while a guest of the lab exits often, as when it floods its console: about one
// in a million exits (seen with the local APIC's timer and with the HPET). A timer that is set anew by its interrupt has stopped
// for good then, and the lab hangs; one that ticks of its own accord has missed a tick. Hence nohz=off and highres=off.
func commandLine(tscKHz uint64) string {
	line := "console=ttyS0 panic=-1 unknown_nmi_panic=1 random.trust_cpu=on no_timer_check tsc=reliable nohz=off highres=off"
	if tscKHz != 0 {
		line += fmt.Sprintf(" tsc_early_khz=%d", tscKHz)
	}
	return line + " " + guest.Env + "=1"
}
