package monitor

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/sandbox"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/test/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(lab.Tests(m, lab.GuestSystem)) }

// freeMonitor returns a monitor that leaves the test's process free. Its VM ends with the test.
func freeMonitor(t *testing.T, opt Options) *Monitor {
	t.Helper()
	m := New()
	m.jail = jailer{}
	if err := m.Configure(opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(context.Background(), 0); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return m
}

// shortDir is a directory in which sockets have room.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// machine returns one whose guest has no configuration: it boots, and no more.
func machine(t *testing.T) vmm.Machine {
	t.Helper()
	return vmm.Machine{
		Name: "test", KernelPath: lab.Path(t, lab.GuestKernel), Initrd: []vmm.Segment{{Path: lab.Path(t, lab.GuestInitrd)}},
		CPUs: 1, MemoryBytes: 128 << 20,
		Wires: vmm.Wires{Vsock: &vmm.Vsock{GuestCID: 3, SocketPath: filepath.Join(shortDir(t), "vsock")}},
	}
}

// recorder remembers the machine that a monitor was given.
type recorder struct {
	*Monitor
	machine vmm.Machine
}

// Create implements vmm.VMM.
func (r *recorder) Create(ctx context.Context, m vmm.Machine) (vmm.Created, error) {
	r.machine = m
	return r.Monitor.Create(ctx, m)
}

// bootGuest boots to the guest agent.
func bootGuest(t *testing.T, m *Monitor, spec sandbox.Spec) *sandbox.Sandbox {
	t.Helper()
	s, _ := bootGuestWith(t, m, spec)
	return s
}

// bootGuestWith is bootGuest for a test that needs the machine too.
func bootGuestWith(t *testing.T, m *Monitor, spec sandbox.Spec) (*sandbox.Sandbox, *recorder) {
	t.Helper()
	spec.Kernel, spec.Initrd = lab.Path(t, lab.GuestKernel), lab.Path(t, lab.GuestInitrd)
	spec.ReadyTimeout = 2 * time.Minute // the lab is slow when the machine is busy
	if spec.MemoryBytes == 0 {
		spec.MemoryBytes = 128 << 20
	}
	images, err := image.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Monitor: m}
	s, err := sandbox.NewVM(t.Context(), sandbox.VMConfig{VMM: r, Images: images, Dir: shortDir(t), Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("close the sandbox: %v", err)
		}
	})
	return s, r
}

// shell runs a line of shell in a guest, as root.
func shell(t *testing.T, s contract.Sandbox, script string) string {
	t.Helper()
	var out bytes.Buffer
	exit, err := s.Exec(t.Context(), contract.Command{Args: []string{"sh", "-c", script}, User: "root"}, contract.IO{Stdout: &out, Stderr: &out})
	if err != nil || exit.Code != 0 {
		t.Fatalf("%s: %+v, %v: %s", script, exit, err, out.String())
	}
	return out.String()
}
