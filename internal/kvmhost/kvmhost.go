// Package kvmhost answers one question: can this machine run a stock kernel on KVM?
//
// The device alone proves nothing. It may be closed to this user, it may lack what a monitor needs, and on a host that is
// itself a paravirtualized guest it can be there without hardware virtualization: stock kernels then stop in their first
// instructions. So a usable KVM is the device, its capabilities and vmx or svm in the CPU flags.
package kvmhost

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Problem says why KVM cannot be used, and what the user can do about it.
type Problem struct {
	Reason string
	Remedy string
	cause  error
}

func (p *Problem) Error() string { return p.Reason }
func (p *Problem) Unwrap() error { return p.cause }

// Host names the files that are looked at; a test brings its own.
type Host struct {
	Device  string // /dev/kvm
	CPUInfo string // /proc/cpuinfo
	probe   func(*os.File) error
}

// Local is the machine that this process runs on.
func Local() Host {
	return Host{Device: "/dev/kvm", CPUInfo: "/proc/cpuinfo", probe: probeDevice}
}

// Check returns nil when KVM is usable, else a *Problem.
func (h Host) Check() error {
	device, err := os.OpenFile(h.Device, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Problem{
			Reason: h.Device + " does not exist: the kvm module is not loaded, or this machine is a VM without nested virtualization",
			Remedy: "modprobe kvm_intel || modprobe kvm_amd",
			cause:  err,
		}
	case errors.Is(err, fs.ErrPermission):
		return &Problem{
			Reason: h.Device + " may not be opened by this user",
			Remedy: "sudo usermod -aG kvm $USER, then log in again",
			cause:  err,
		}
	case err != nil:
		return &Problem{Reason: fmt.Sprintf("%s cannot be opened: %v", h.Device, err), Remedy: "ls -l " + h.Device, cause: err}
	}
	defer device.Close()
	if err := h.probe(device); err != nil {
		return &Problem{Reason: fmt.Sprintf("%s is not a KVM that we can use: %v", h.Device, err), Remedy: "use a kernel of 5.10 or later with its own kvm module", cause: err}
	}
	hardware, err := h.hardwareVirtualization()
	if err != nil {
		return &Problem{Reason: fmt.Sprintf("CPU flags cannot be read: %v", err), Remedy: "mount -t proc proc /proc", cause: err}
	}
	if !hardware {
		return &Problem{
			Reason: h.Device + " is there, but the CPU shows neither vmx nor svm: stock kernels cannot boot on it",
			Remedy: "use backend = \"qemu\", which falls back to emulation, or a machine with hardware virtualization",
		}
	}
	return nil
}

// hardwareVirtualization looks for vmx (Intel) or svm (AMD) in the flags of the first CPU.
func (h Host) hardwareVirtualization() (bool, error) {
	f, err := os.Open(h.CPUInfo)
	if err != nil {
		return false, err
	}
	defer f.Close()
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		name, value, ok := strings.Cut(scanner.Text(), ":")
		if !ok || strings.TrimSpace(name) != "flags" {
			continue
		}
		for _, flag := range strings.Fields(value) {
			if flag == "vmx" || flag == "svm" {
				return true, nil
			}
		}
		return false, nil
	}
	return false, scanner.Err()
}
