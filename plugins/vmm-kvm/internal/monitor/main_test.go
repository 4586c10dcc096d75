package monitor

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/sandbox"
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

// bootGuest boots to the guest agent.
func bootGuest(t *testing.T, m *Monitor, spec sandbox.Spec) *sandbox.Sandbox {
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
	s, err := sandbox.NewVM(t.Context(), sandbox.VMConfig{VMM: m, Images: images, Dir: shortDir(t), Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("close the sandbox: %v", err)
		}
	})
	return s
}
