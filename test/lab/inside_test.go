package lab_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/voidbox-run/voidbox/test/lab"
	"golang.org/x/sys/unix"
)

const kvmGetAPIVersion = 0xae00 // Linux Documentation/virt/kvm/api.rst, section 4.1

// Wherever it runs, on hardware or in the lab, a test that asked for KVM has it.
func TestRequireKVM(t *testing.T) {
	lab.RequireKVM(t)
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	version, err := unix.IoctlRetInt(int(f.Fd()), kvmGetAPIVersion)
	if err != nil || version != 12 {
		t.Errorf("KVM_GET_API_VERSION: %d, %v; want 12", version, err)
	}
}

func TestRequireVhostVsock(t *testing.T) {
	lab.RequireVhostVsock(t)
	f, err := os.OpenFile("/dev/vhost-vsock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

func TestRequireInSubtest(t *testing.T) {
	t.Run("a name with (odd) characters|", func(t *testing.T) { lab.RequireKVM(t) })
	t.Run("here", func(*testing.T) {})
}

func BenchmarkRequireKVM(b *testing.B) {
	lab.RequireKVM(b)
	for b.Loop() {
		f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
		if err != nil {
			b.Fatal(err)
		}
		_ = f.Close()
	}
}

const occupyEnv = "VOIDBOX_LAB_TEST_OCCUPY"

// TestOccupyTheProcessor is no test: TestHungGuestShowsItsConsole runs it in a lab, where it leaves no time to anybody else.
func TestOccupyTheProcessor(t *testing.T) {
	if os.Getenv(occupyEnv) != "1" || !lab.Inside() {
		t.Skip("for TestHungGuestShowsItsConsole only")
	}
	if err := os.WriteFile("/proc/sys/kernel/sched_rt_runtime_us", []byte("-1"), 0); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	realtime := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 99}
	if err := unix.SchedSetAttr(0, &realtime, 0); err != nil {
		t.Fatal(err)
	}
	for n := 0; n >= 0; n++ { // for years
	}
}
