package kvmhost

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is a user who owns nothing.
const nobody = 65534

func TestNoPermission(t *testing.T) {
	dir := t.TempDir()
	h := Host{Device: filepath.Join(dir, "kvm")}
	write(t, h.Device, "")
	// The thread that looks at the device is given up with the goroutine: only it has lost the rights of root, if it had them.
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, err := unix.SetfsuidRetUid(nobody); err != nil {
			t.Error(err)
		}
		if unix.Geteuid() != 0 {
			_ = unix.Chmod(h.Device, 0)
		}
		result <- h.Check()
	}()
	err := <-result
	var p *Problem
	if !errors.As(err, &p) || !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("Check() = %v, want a Problem of permission", err)
	}
	if !strings.Contains(p.Reason, h.Device+" may not be opened by this user") || !strings.Contains(p.Remedy, "usermod -aG kvm") {
		t.Errorf("reason %q, remedy %q", p.Reason, p.Remedy)
	}
}
