package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

type mount struct {
	kind, target string
	flags        uintptr
	data         string
	optional     bool // a small kernel may lack it
}

const confined = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

var system = []mount{
	{kind: "devtmpfs", target: "/dev", flags: unix.MS_NOSUID},
	{kind: "proc", target: "/proc", flags: confined},
	{kind: "sysfs", target: "/sys", flags: confined},
	{kind: "devpts", target: "/dev/pts", flags: unix.MS_NOSUID | unix.MS_NOEXEC, data: "ptmxmode=0666,mode=0620,gid=5"},
	{kind: "tmpfs", target: "/dev/shm", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=1777"},
	{kind: "cgroup2", target: "/sys/fs/cgroup", flags: confined, optional: true},
	{kind: "debugfs", target: "/sys/kernel/debug", flags: confined, optional: true},
	{kind: "tracefs", target: "/sys/kernel/tracing", flags: confined, optional: true},
	{kind: "tmpfs", target: "/run", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=0755"},
	{kind: "tmpfs", target: "/tmp", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=1777"},
}

func mountSystem() error {
	if err := os.Chmod("/", 0o755); err != nil { // the kernel made it for everybody to write to
		return err
	}
	for _, m := range system {
		if err := os.MkdirAll(m.target, 0o755); err != nil && !m.optional {
			return err
		}
		err := unix.Mount(m.kind, m.target, m.kind, m.flags, m.data)
		if err != nil && !errors.Is(err, unix.EBUSY) && !m.optional {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	return links(map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2"})
}

func links(targets map[string]string) error {
	for name, target := range targets {
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// newRoot is where the root file system is put together.
const newRoot = "/.root"

// enterRoot makes the disk the root file system or, where there is none, the initramfs itself: by way of a bind mount, for
// pivot_root(2), which jails use, refuses to leave the kernel's own first root.
func enterRoot(boot Boot) error {
	if err := os.Mkdir(newRoot, 0o755); err != nil {
		return err
	}
	if boot.Root == "" {
		if err := unix.Mount("/", newRoot, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind the root: %w", err)
		}
	} else if err := mountDisk(boot); err != nil {
		return err
	}
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run", "/tmp"} {
		if err := unix.Mount(dir, newRoot+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s to the new root: %w", dir, err)
		}
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the new root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	return os.Chdir("/")
}

func mountDisk(boot Boot) error {
	if err := unix.Mount(boot.Root, newRoot, "ext4", unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount the disk %s: %w", boot.Root, err)
	}
	for _, file := range boot.Files {
		if err := show(file, newRoot+file); err != nil {
			return fmt.Errorf("show %s on the disk: %w", file, err)
		}
	}
	return nil
}

// show bind mounts source at target, which it makes where it is missing.
func show(source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else {
		err = touch(target)
	}
	if err != nil {
		return err
	}
	return unix.Mount(source, target, "", unix.MS_BIND, "")
}

func touch(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	return f.Close()
}
