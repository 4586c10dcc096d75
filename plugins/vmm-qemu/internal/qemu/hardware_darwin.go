package qemu

import (
	"errors"

	"golang.org/x/sys/unix"
)

// hardware asks the system whether the Hypervisor framework works on this CPU.
func hardware() (string, error) {
	supported, err := unix.SysctlUint32("kern.hv_support")
	if err != nil {
		return HVF, err
	}
	if supported == 0 {
		return HVF, errors.New("kern.hv_support is 0: this CPU has no virtualization, or this machine is a VM without it")
	}
	return HVF, nil
}

func remedyOf(error) string { return "" }
