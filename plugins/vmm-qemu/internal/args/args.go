package args

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Files are the numbers of the descriptors that QEMU inherits; 0 means absent.
type Files struct {
	QMP     int       // stream socket
	Console int       // stream socket
	Initrd  int       // regular file
	Vsock   int       // stream socket to a vhost-user back end
	Links   []BackEnd // one for each of the machine's links
}

// Host is what the command line depends on beside the machine.
type Host struct {
	Arch        string // GOARCH
	OS          string // GOOS
	Accelerator string // kvm, hvf or tcg
	TSCKHz      uint64 // frequency of the time-stamp counter, 0 where there is none
}

// Build returns QEMU's arguments for a machine that machine.Check has passed. The VM does not run until it is told to.
func Build(m vmm.Machine, h Host, f Files) []string {
	a := []string{
		"-name", "guest=" + m.Name,
		"-nodefaults", "-no-user-config", "-display", "none",
		"-S",         // vCPUs wait for the command to go on
		"-no-reboot", // a guest that asks for a reset has ended
	}
	if h.OS == "linux" {
		// -sandbox is QEMU's seccomp filter: no fork, no exec, no gain of privileges.
		a = append(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	}
	a = append(a, machineArgs(m, h)...)
	a = append(a, "-kernel", m.KernelPath, "-append", CommandLine(m, h))
	if f.Initrd != 0 {
		a = append(a, "-initrd", fmt.Sprintf("/dev/fd/%d", f.Initrd))
	}
	a = append(a,
		"-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", f.QMP), "-mon", "chardev=qmp,mode=control",
		"-chardev", fmt.Sprintf("socket,id=console,fd=%d", f.Console), "-serial", "chardev:console",
		// Without this, virtio over MMIO is the version of before the standard, which vhost-user back ends refuse.
		"-global", "virtio-mmio.force-legacy=false",
		"-object", "rng-builtin,id=rng", "-device", "virtio-rng-device,rng=rng",
	)
	if f.Vsock != 0 {
		a = append(a, "-chardev", fmt.Sprintf("socket,id=vsock,fd=%d", f.Vsock), "-device", "vhost-user-vsock-device,chardev=vsock")
	}
	for i, l := range m.Links {
		a = append(a, linkArgs(i, l, f.Links[i])...)
	}
	for i, d := range m.Disks {
		a = append(a, diskArgs(i, d)...)
	}
	return a
}

func machineArgs(m vmm.Machine, h Host) []string {
	size := strconv.FormatUint(roundUp(m.MemoryBytes), 10)
	backend := "memory-backend-memfd"
	if h.OS != "linux" {
		backend = "memory-backend-shm"
	}
	return []string{
		"-M", machineType(h) + ",memory-backend=mem",
		// Shared, since a vhost-user back end reads rings and buffers where they are.
		"-object", backend + ",id=mem,share=on,size=" + size,
		"-m", size + "B",
		"-smp", strconv.Itoa(m.CPUs),
		"-accel", accelerator(h.Accelerator),
		"-cpu", cpu(h.Accelerator),
	}
}

func machineType(h Host) string {
	if h.Arch == "arm64" {
		return "virt,acpi=on"
	}
	return "microvm,acpi=on,rtc=on" // without a clock chip Linux waits for one, over a second under emulation
}

func accelerator(name string) string {
	if name == "tcg" {
		return "tcg,thread=multi"
	}
	return name
}

// cpu gives the guest what the host has, and under emulation all that QEMU knows but for five-level paging, which makes each
// of the emulator's page walks longer.
func cpu(accelerator string) string {
	if accelerator == "tcg" {
		return "max"
	}
	return "host"
}

// CommandLine returns the kernel's command line: what this monitor needs, then the machine's own, which is thus stronger.
func CommandLine(m vmm.Machine, h Host) string {
	console := "console=ttyS0"
	if h.Arch == "arm64" {
		console = "console=ttyAMA0"
	}
	words := []string{
		console, "loglevel=5", // warnings: the monitor listens for the one of a lost timer
		"panic=-1",                 // a panic resets at once, and with -no-reboot that is the end
		"rcupdate.rcu_expedited=1", // network and mounts wait for grace periods, 150 ms of a boot else; few CPUs make them cheap
	}
	if h.Accelerator == "tcg" && h.TSCKHz != 0 {
		// The emulated timers are too coarse to calibrate against: about one boot of three hangs otherwise. Do not add
		// noapictimer: there is no other timer interrupt on this machine, and the guest sleeps for ever (measured).
		words = append(words, "no_timer_check", fmt.Sprintf("tsc_early_khz=%d", h.TSCKHz))
		// Patching its own code is dear for an emulated kernel, and lock prefixes cost an emulated CPU nothing: 0.1 to 0.2 s.
		words = append(words, "noreplace-smp")
	}
	if m.CommandLine != "" {
		words = append(words, m.CommandLine)
	}
	return strings.Join(words, " ")
}

// diskArgs uses the JSON form, in which no byte of a path has a meaning.
func diskArgs(i int, d vmm.Disk) []string {
	node := fmt.Sprintf("disk%d", i)
	blockdev := mustJSON(map[string]any{
		"driver":    "raw",
		"node-name": node,
		"read-only": d.ReadOnly,
		"file":      map[string]any{"driver": "file", "filename": d.Path, "read-only": d.ReadOnly},
	})
	device := mustJSON(map[string]any{"driver": "virtio-blk-device", "drive": node, "serial": d.ID})
	return []string{"-blockdev", blockdev, "-device", device}
}

func mustJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings and booleans always encode
	}
	return string(data)
}

// roundUp returns a whole number of MiB, which is what QEMU wants.
func roundUp(bytes uint64) uint64 { return (bytes + 1<<20 - 1) &^ (1<<20 - 1) }
