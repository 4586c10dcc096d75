package kvm

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// apiVersion is the only version of the interface that there is; api.rst section 4.1 has programs refuse any other.
const apiVersion = 12

// ErrMissing is wrapped by the error of Open on a host whose KVM lacks what a VM needs.
var ErrMissing = errors.New("this KVM cannot run our VMs")

// System is /dev/kvm. It is safe for concurrent use.
type System struct {
	fd       int
	mmapSize int
}

// Open opens /dev/kvm and checks that it has all that we need.
func Open() (*System, error) {
	fd, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/kvm", Err: err}
	}
	return OpenFD(fd)
}

// OpenFD is Open for a process that may not open /dev/kvm itself. It takes fd over, also when it fails.
func OpenFD(fd int) (*System, error) {
	s := &System{fd: fd}
	if err := s.check(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *System) check() error {
	version, err := ioctlInt(s.fd, kvmGetAPIVersion, 0)
	if err != nil {
		return err
	}
	if version != apiVersion {
		return fmt.Errorf("%w: its API has version %d, and %d is the one that we know", ErrMissing, version, apiVersion)
	}
	if missing := missing(s.CheckExtension); len(missing) > 0 {
		return fmt.Errorf("%w: it lacks %s", ErrMissing, strings.Join(missing, ", "))
	}
	s.mmapSize, err = ioctlInt(s.fd, kvmGetVCPUMmapSize, 0)
	return err
}

// missing returns the names of required capabilities that check does not find.
func missing(check func(Cap) (int, error)) []string {
	var names []string
	for _, c := range required {
		if n, err := check(c.number); err != nil || n <= 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// Close closes the device. VMs that were created live on.
func (s *System) Close() error { return unix.Close(s.fd) }

// CheckExtension is KVM_CHECK_EXTENSION: 0 means that there is no such thing, other numbers depend on the capability.
func (s *System) CheckExtension(c Cap) (int, error) {
	return ioctlInt(s.fd, kvmCheckExtension, uintptr(c))
}

// VCPUMmapSize is KVM_GET_VCPU_MMAP_SIZE: the size of a vCPU's run page with all that follows it.
func (s *System) VCPUMmapSize() int { return s.mmapSize }

// GetSupportedCPUID is KVM_GET_SUPPORTED_CPUID: what this host's CPU and KVM can give to a guest.
func (s *System) GetSupportedCPUID() ([]CPUIDEntry2, error) {
	arg := &cpuid2{header: header{Count: maxCPUIDEntries}}
	if err := ioctl(s.fd, kvmGetSupportedCPUID, arg); err != nil {
		return nil, err
	}
	return slices.Clone(arg.Entries[:min(arg.Count, maxCPUIDEntries)]), nil
}

// GetMSRIndexList is KVM_GET_MSR_INDEX_LIST: the model-specific registers that make up a vCPU's state.
func (s *System) GetMSRIndexList() ([]uint32, error) {
	arg := &msrList{Count: maxMSRIndices}
	if err := ioctl(s.fd, kvmGetMSRIndexList, arg); err != nil {
		return nil, err
	}
	return slices.Clone(arg.Indices[:min(arg.Count, maxMSRIndices)]), nil
}

// CreateVM is KVM_CREATE_VM: a VM without memory, devices and vCPUs. The caller closes it; it does not need the System any more.
func (s *System) CreateVM() (*VM, error) {
	msrs, err := s.GetMSRIndexList()
	if err != nil {
		return nil, err
	}
	fd, err := ioctlInt(s.fd, kvmCreateVM, 0)
	if err != nil {
		return nil, err
	}
	return &VM{fd: fd, mmapSize: s.mmapSize, msrs: msrs}, nil
}
