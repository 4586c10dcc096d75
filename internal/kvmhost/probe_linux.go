package kvmhost

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ioctl numbers, API version and capabilities: Linux Documentation/virt/kvm/api.rst, sections 4.1 and 4.4.
const (
	kvmGetAPIVersion  = 0xae00
	kvmCheckExtension = 0xae03
	apiVersion        = 12
)

var requiredCaps = []struct {
	number int
	name   string
}{
	{0, "KVM_CAP_IRQCHIP"},
	{3, "KVM_CAP_USER_MEMORY"},
	{32, "KVM_CAP_IRQFD"},
	{36, "KVM_CAP_IOEVENTFD"},
	{136, "KVM_CAP_IMMEDIATE_EXIT"},
}

func probeDevice(device *os.File) error {
	fd := int(device.Fd())
	version, err := unix.IoctlRetInt(fd, kvmGetAPIVersion)
	if err != nil {
		return fmt.Errorf("KVM_GET_API_VERSION: %w", err)
	}
	if version != apiVersion {
		return fmt.Errorf("API version %d, want %d", version, apiVersion)
	}
	for _, c := range requiredCaps {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), kvmCheckExtension, uintptr(c.number))
		if errno != 0 || r == 0 {
			return fmt.Errorf("capability %s is missing", c.name)
		}
	}
	return nil
}
