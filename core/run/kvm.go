package run

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
)

// KVMUsable says why KVM cannot be used here, nil when it can. A device that opens is not enough: some hosts have one without
// hardware virtualization behind it, on which no stock kernel boots.
func KVMUsable() error {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("there is no /dev/kvm")
	case errors.Is(err, os.ErrPermission):
		return errors.New("/dev/kvm may not be opened by this user")
	case err != nil:
		return fmt.Errorf("/dev/kvm cannot be opened: %w", err)
	}
	f.Close()
	if runtime.GOARCH != "amd64" {
		return nil
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return fmt.Errorf("read the processor's features: %w", err)
	}
	if !hasVirtualization(info) {
		return errors.New("/dev/kvm is there, but the processor shows neither vmx nor svm")
	}
	return nil
}

// hasVirtualization looks for vmx or svm among the flags of the first processor.
func hasVirtualization(cpuinfo []byte) bool {
	for line := range bytes.Lines(cpuinfo) {
		name, flags, ok := bytes.Cut(line, []byte{':'})
		if !ok || string(bytes.TrimSpace(name)) != "flags" {
			continue
		}
		for _, flag := range bytes.Fields(flags) {
			if string(flag) == "vmx" || string(flag) == "svm" {
				return true
			}
		}
		return false
	}
	return false
}
