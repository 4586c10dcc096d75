package kvm

import (
	"errors"
	"os"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMissingCapabilitiesAreNamed(t *testing.T) {
	lacks := map[Cap]bool{CapIRQFD: true, CapImmediateExit: true}
	got := missing(func(c Cap) (int, error) {
		if c == CapXCRS {
			return 0, unix.EINVAL
		}
		if lacks[c] {
			return 0, nil
		}
		return 1, nil
	})
	if want := []string{"KVM_CAP_IRQFD", "KVM_CAP_XCRS", "KVM_CAP_IMMEDIATE_EXIT"}; !reflect.DeepEqual(got, want) {
		t.Errorf("missing %v, want %v", got, want)
	}
	if got := missing(func(Cap) (int, error) { return 1, nil }); got != nil {
		t.Errorf("nothing is missing, but %v", got)
	}
}

func TestOpenFDRefusesWhatIsNotKVM(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFD(fd); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("OpenFD of %s: %v", os.DevNull, err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("OpenFD left its descriptor open: %v", err)
	}
}

func TestKVMSystem(t *testing.T) {
	sys := open(t)
	if n := sys.VCPUMmapSize(); n < runMinimum {
		t.Errorf("run page of %d bytes", n)
	}
	leaves, err := sys.GetSupportedCPUID()
	if err != nil || len(leaves) < 5 || leaves[0].Function != 0 || leaves[0].EBX == 0 {
		t.Errorf("%d leaves of CPUID, %v", len(leaves), err)
	}
	msrs, err := sys.GetMSRIndexList()
	if err != nil || len(msrs) < 10 {
		t.Errorf("%d MSRs, %v", len(msrs), err)
	}
	if n, err := sys.CheckExtension(CapMaxVCPUs); err != nil || n < 16 {
		t.Errorf("at most %d vCPUs, %v", n, err)
	}
}

func open(t *testing.T) *System {
	t.Helper()
	requireKVM(t)
	sys, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return sys
}

// newVM has one vCPU and a page of memory at address 0.
func newVM(t *testing.T) (*VM, *VCPU, []byte) {
	t.Helper()
	vm, err := open(t).CreateVM()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vm.Close() })
	memory, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(memory) })
	if err := errors.Join(vm.SetTSSAddr(0xfffbd000), vm.SetIdentityMapAddr(0xfffbc000), vm.CreateIRQChip(), vm.MapMemory(0, 0, memory)); err != nil {
		t.Fatal(err)
	}
	vcpu, err := vm.CreateVCPU(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vcpu.Close() })
	return vm, vcpu, memory
}
