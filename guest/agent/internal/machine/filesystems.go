package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// CgroupRoot is where cgroup v2 is mounted.
const CgroupRoot = "/sys/fs/cgroup"

type filesystem struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

const hardened = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// kernelFilesystems are those that the rest of the boot needs.
var kernelFilesystems = []filesystem{
	{"proc", "/proc", "proc", hardened, ""},
	{"sysfs", "/sys", "sysfs", hardened, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0755"},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	// Kernels since 6.0 can make changes of the tree quick, at a price for fork that is nothing beside a stalled boot.
	{"cgroup2", CgroupRoot, "cgroup2", hardened, "favordynmods"},
}

// workFilesystems are those that commands need.
var workFilesystems = []filesystem{
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
}

// MountKernel mounts proc, sys, dev, run and cgroup2 below root. What is mounted already stays as it is.
func MountKernel(root string) error {
	var errs []error
	for _, f := range kernelFilesystems {
		err := f.mount(root)
		if f.fstype == "cgroup2" && errors.Is(err, unix.EINVAL) {
			f.data = ""
			err = f.mount(root)
		}
		if f.fstype == "cgroup2" && errors.Is(err, unix.ENODEV) {
			continue // a kernel without cgroups still makes a sandbox
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// MountWork mounts devpts and shm below root, and a tmpfs on /tmp unless the root keeps what is written to it.
func MountWork(root string, r boot.Root) error {
	list := workFilesystems
	if r.Kind != boot.RootDisk || r.Mode == boot.RootReadOnly {
		list = append(list[:len(list):len(list)], filesystem{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"})
	}
	var errs []error
	for _, f := range list {
		errs = append(errs, f.mount(root))
	}
	links := map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(root, "dev", name)); err != nil && !errors.Is(err, os.ErrExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (f filesystem) mount(root string) error {
	target := filepath.Join(root, f.target)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	err := unix.Mount(f.source, target, f.fstype, f.flags, f.data)
	if errors.Is(err, unix.EBUSY) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("mount %s on %s: %w", f.fstype, target, err)
	}
	return nil
}

// MountAll mounts what the configuration lists.
func MountAll(mounts []boot.Mount) error {
	for _, m := range mounts {
		flags, data := options(m)
		if err := (filesystem{m.Source, m.Target, m.FSType, flags, data}).mount("/"); err != nil {
			return fmt.Errorf("%s: %w", m.Source, err)
		}
	}
	return nil
}

// options sorts those that the kernel takes as flags from those of the file system.
func options(m boot.Mount) (flags uintptr, data string) {
	known := map[string]uintptr{
		"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
		"noatime": unix.MS_NOATIME, "relatime": unix.MS_RELATIME, "sync": unix.MS_SYNCHRONOUS, "rw": 0,
	}
	if m.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	var rest []string
	for _, option := range strings.Split(m.Options, ",") {
		flag, isFlag := known[option]
		switch {
		case isFlag:
			flags |= flag
		case option != "":
			rest = append(rest, option)
		}
	}
	return flags, strings.Join(rest, ",")
}
