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

// Where the pieces of a disk root are put together, in the initramfs.
const (
	newRoot  = "/newroot"
	diskDir  = "/run/voidbox/disk"
	writeDir = "/run/voidbox/writable"
)

// SwitchRoot makes the disk that r names the root of this process and of all that it will start, with dev, proc, sys and run
// moved over. A root in the initramfs is left as it is. What was in the initramfs is removed, which gives its memory back.
func SwitchRoot(r boot.Root) error {
	if r.Kind != boot.RootDisk {
		return nil
	}
	const disks = "/sys/block"
	device, err := findDisk(r, disks)
	if err != nil {
		return err
	}
	scratch := ""
	if r.OverlaySerial != "" {
		if scratch, err = findDisk(boot.Root{Serial: r.OverlaySerial}, disks); err != nil {
			return err
		}
	}
	if err := assemble(r, device, scratch); err != nil {
		return err
	}
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run"} {
		if err := move(dir, newRoot+dir); err != nil {
			return err
		}
	}
	initramfs, err := os.Open("/")
	if err != nil {
		return err
	}
	defer initramfs.Close()
	return enter(initramfs)
}

// findDisk returns the device file of a disk.
func findDisk(r boot.Root, sysBlock string) (string, error) {
	if r.Path != "" {
		return r.Path, nil
	}
	disks, err := os.ReadDir(sysBlock)
	if err != nil {
		return "", err
	}
	var seen []string
	for _, disk := range disks {
		serial, err := os.ReadFile(filepath.Join(sysBlock, disk.Name(), "serial"))
		if err != nil {
			continue
		}
		found := strings.TrimSpace(string(serial))
		if found == r.Serial {
			return "/dev/" + disk.Name(), nil
		}
		seen = append(seen, fmt.Sprintf("%s %q", disk.Name(), found))
	}
	return "", fmt.Errorf("root: no disk has the serial %q; the machine has [%s]", r.Serial, strings.Join(seen, ", "))
}

// assemble mounts the root at newRoot. scratch, which may be empty, is the disk that takes the writes.
func assemble(r boot.Root, device, scratch string) error {
	var flags uintptr
	target := newRoot
	if r.Mode != boot.RootReadWrite {
		flags = unix.MS_RDONLY
	}
	if overlaid(r) {
		target = diskDir
	}
	if err := (filesystem{device, target, r.FSType, flags, ""}).mount("/"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if !overlaid(r) {
		return nil
	}
	return overlay(r, scratch)
}

func overlaid(r boot.Root) bool { return r.Mode == "" || r.Mode == boot.RootOverlay }

// overlay puts a tmpfs, or a disk, above the disk.
func overlay(r boot.Root, scratch string) error {
	above := filesystem{scratch, writeDir, "ext4", unix.MS_NOATIME, ""}
	if scratch == "" {
		above = filesystem{"tmpfs", writeDir, "tmpfs", 0, "mode=0755"}
		if r.OverlaySize > 0 {
			above.data += fmt.Sprintf(",size=%d", r.OverlaySize)
		}
	}
	if err := above.mount("/"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	upper, work := writeDir+"/upper", writeDir+"/work"
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("root: %w", err)
		}
	}
	data := "lowerdir=" + diskDir + ",upperdir=" + upper + ",workdir=" + work
	if err := (filesystem{"overlay", newRoot, "overlay", 0, data}).mount("/"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	return nil
}

// move moves a mount to its place in the new root. An image on a read-only disk may lack the directory, and then cannot be
// a root.
func move(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("root: the image has no %s: %w", from, err)
	}
	if err := unix.Mount(from, to, "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("root: move %s: %w", from, err)
	}
	return nil
}

// enter makes newRoot the root. The initramfs cannot be unmounted, so the new root is moved over it (which also takes
// pivot_root out of the question) and its files are removed through the descriptor that still leads there.
func enter(initramfs *os.File) error {
	if err := os.Chdir(newRoot); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("root: move to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("root: chroot: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	return sweep(initramfs)
}

// sweep removes everything below dir that is on the same file system.
func sweep(dir *os.File) error {
	var here unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &here); err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, sweepEntry(dir, name, here.Dev))
	}
	return errors.Join(errs...)
}

func sweepEntry(dir *os.File, name string, dev uint64) error {
	var st unix.Stat_t
	at := int(dir.Fd())
	if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Dev != dev {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.Unlinkat(at, name, 0)
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	sub := os.NewFile(uintptr(fd), name)
	err = sweep(sub)
	_ = sub.Close()
	if removed := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); removed != nil && !errors.Is(removed, unix.EBUSY) && !errors.Is(removed, unix.ENOTEMPTY) {
		err = errors.Join(err, removed)
	}
	return err
}
