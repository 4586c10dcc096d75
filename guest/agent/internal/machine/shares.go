package machine

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// sharesDir is where the device with all shares is mounted while they are put into their places.
const sharesDir = "/run/voidbox/shares"

// MountShares mounts the file system device once and puts each entry of its root where it belongs. The root itself is taken away
// again, so that each share is seen at its place only, and read-only where it is meant to be.
func MountShares(s boot.Shares) error {
	if len(s.Mounts) == 0 {
		return nil
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	if err := (filesystem{s.Tag, sharesDir, "virtiofs", flags, ""}).mount("/"); err != nil {
		return fmt.Errorf("shares: %w", err)
	}
	for _, m := range s.Mounts {
		if err := bind(filepath.Join(sharesDir, m.Name), m.Target, flags, m.ReadOnly); err != nil {
			return fmt.Errorf("share at %s: %w", m.Target, err)
		}
	}
	if err := unix.Unmount(sharesDir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("shares: unmount %s: %w", sharesDir, err)
	}
	return nil
}

// bind makes source, a directory or a file, appear at target as well.
func bind(source, target string, flags uintptr, readOnly bool) error {
	if err := makeMountPoint(source, target); err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""); err != nil {
		return fmt.Errorf("set options: %w", err)
	}
	return nil
}

// makeMountPoint makes what source can be mounted on: a directory for a directory, a file for anything else.
func makeMountPoint(source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
