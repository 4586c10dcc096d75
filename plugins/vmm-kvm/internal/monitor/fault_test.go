package monitor

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/kvmhost"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/jail"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/test/lab"
)

func TestHostThatCannotIsRefusedWithTheReason(t *testing.T) {
	m := New()
	m.usable = func() error {
		return &kvmhost.Problem{Reason: "the CPU shows neither vmx nor svm", Remedy: "use backend = \"qemu\""}
	}
	err := m.Configure(Options{})
	var e *errdef.Error
	if !errors.As(err, &e) || e.Kind != errdef.ErrUnavailable || e.Reason != ReasonUnusable || !strings.Contains(e.Remedy, "qemu") {
		t.Errorf("error = %+v", err)
	}
	if err := m.Stop(t.Context(), 0); err != nil {
		t.Errorf("stop after a refusal: %v", err)
	}
}

func TestOtherAcceleratorsAreNotOurs(t *testing.T) {
	lab.RequireKVM(t)
	m := freeMonitor(t, Options{})
	spec := machine(t)
	spec.Accelerator = "tcg"
	if _, err := m.Create(t.Context(), spec); !errors.Is(err, errdef.ErrUnsupported) || !strings.Contains(errdef.Remedy(err), "qemu") {
		t.Errorf("error = %v", err)
	}
}

func TestMoreDevicesThanSlots(t *testing.T) {
	lab.RequireKVM(t)
	m := freeMonitor(t, Options{})
	spec := machine(t)
	spec.Links = slices.Repeat([]vmm.Link{{Kind: vmm.LinkFS, SocketPath: "/nonexistent"}}, 15)
	for i := range spec.Links {
		spec.Links[i].ID = strings.Repeat("x", i+1)
	}
	if _, err := m.Create(t.Context(), spec); !errors.Is(err, errdef.ErrInvalid) || !strings.Contains(err.Error(), "room for 14") {
		t.Errorf("error = %v", err)
	}
}

// TestTripleFaultIsToldWithRegisters has a guest reset itself the hardest way there is.
func TestTripleFaultIsToldWithRegisters(t *testing.T) {
	lab.RequireKVM(t)
	m := freeMonitor(t, Options{})
	s := bootGuest(t, m, sandbox.Spec{CommandLine: "reboot=triple"})
	_, _ = s.Exec(t.Context(), contract.Command{Args: []string{"reboot", "-f"}, User: "root"}, contract.IO{})
	var last vmm.Event
	err := m.Watch(t.Context(), func(e vmm.Event) error {
		if e.Kind != vmm.Stopped {
			last = e
		}
		return nil
	})
	if err != nil || last.Kind != vmm.Failed || !strings.Contains(last.Detail, "triple fault") {
		t.Fatalf("the last event is %+v, %v", last, err)
	}
	// AMD's CPUs do not say where it was: KVM resets the vCPU before it tells (svm.c, shutdown_interception).
	for _, name := range []string{"reason", "rip", "cr0", "cs"} {
		if last.State[name] == "" {
			t.Errorf("%s is missing in the state: %v", name, last.State)
		}
	}
}

func TestJailThatFailsEndsTheCreation(t *testing.T) {
	lab.RequireKVM(t)
	broken := errors.New("no seccomp here")
	for name, j := range map[string]jailer{
		"process": {process: func(jail.Grants) error { return broken }},
		"vCPU":    {vcpu: func([]uint32) error { return broken }},
	} {
		m := freeMonitor(t, Options{})
		m.jail = j
		spec := machine(t)
		if _, err := m.Create(t.Context(), spec); !errors.Is(err, broken) {
			t.Errorf("%s: error = %v", name, err)
		}
		if _, err := os.Stat(spec.Vsock.SocketPath); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the socket is left: %v", name, err)
		}
		m.jail = jailer{}
		if _, err := m.Create(t.Context(), spec); err != nil { // a failure leaves the monitor as it was
			t.Errorf("%s: create after a failure: %v", name, err)
		}
	}
}

// TestManyVMsLeaveNothing makes and ends VMs in one process, which a leak of descriptors or mappings would show in.
func TestManyVMsLeaveNothing(t *testing.T) {
	lab.RequireKVM(t)
	run := func() {
		m := freeMonitor(t, Options{})
		if _, err := m.Create(t.Context(), machine(t)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Start(t.Context()), m.Stop(t.Context(), 0)); err != nil {
			t.Fatal(err)
		}
		m.vm.usage.Close() // which lives as long as the process, as a rule
	}
	run()
	files, maps := count(t, "/proc/self/fd"), lines(t, "/proc/self/maps")
	for range 5 {
		run()
	}
	if now := count(t, "/proc/self/fd"); now > files {
		t.Errorf("%d descriptors after one VM, %d after six", files, now)
	}
	if now := lines(t, "/proc/self/maps"); now > maps+20 { // the runtime's own grow
		t.Errorf("%d mappings after one VM, %d after six", maps, now)
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func lines(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}
