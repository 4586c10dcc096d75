package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/test/lab/internal/guest"
	"github.com/voidbox-run/voidbox/test/lab/internal/rootfs"
	"golang.org/x/sys/unix"
)

// writeRoot writes the initramfs into a file in memory, which is the caller's to close.
func writeRoot(ctx context.Context, cfg Config, cache *image.Cache, kernel image.Kernel) (*os.File, error) {
	fd, err := unix.MemfdCreate("lab-initramfs", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory for the lab's initramfs: %w", err)
	}
	file := os.NewFile(uintptr(fd), "lab-initramfs")
	out := bufio.NewWriterSize(file, 1<<20)
	r := root{Archive: rootfs.New(out), cfg: cfg, cache: cache, kernel: kernel}
	err = r.fill(ctx)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = checkRoom(file, cfg.MemoryMiB)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("make the lab's root file system: %w", err)
	}
	return file, nil
}

// kernelMiB is what the kernel and a few programs need beside the files.
const kernelMiB = 256

// checkRoom refuses a lab whose files would not fit: the kernel drops those without a word. While they are unpacked they are
// there twice.
func checkRoom(initramfs *os.File, memoryMiB int) error {
	info, err := initramfs.Stat()
	if err != nil {
		return err
	}
	if need := 2*int(info.Size()>>20) + kernelMiB; need > memoryMiB {
		return fmt.Errorf("its files take %d MiB, so it needs %d MiB of memory or more, and is to have %d", info.Size()>>20, need, memoryMiB)
	}
	return nil
}

// root is the initramfs that is being made.
type root struct {
	*rootfs.Archive
	cfg    Config
	cache  *image.Cache
	kernel image.Kernel
}

func (r *root) fill(ctx context.Context) error {
	steps := []func(context.Context) error{r.addSkeleton, r.addInit, r.addModules, r.addFiles}
	if r.cfg.Disk == "" {
		steps = append(steps, r.addBusybox)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return r.Close()
}

var smallFiles = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"/etc/group":  "root:x:0:\ntty:x:5:\nkvm:x:104:\nnogroup:x:65534:\n",
	"/etc/hosts":  "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
}

func (r *root) addSkeleton(context.Context) error {
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run", "/tmp", "/etc", "/root", "/bin", "/sbin", "/usr/bin", "/usr/sbin", guest.FilesDir} {
		if err := r.Dir(dir, 0o755); err != nil {
			return err
		}
	}
	// Without a console node PID 1 has no standard streams.
	if err := r.Device("/dev/console", 0o600, 5, 1); err != nil {
		return err
	}
	if err := r.Device("/dev/null", 0o666, 1, 3); err != nil {
		return err
	}
	for name, text := range smallFiles {
		if err := r.Bytes(name, 0o644, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// addInit makes the running program the lab's PID 1: it calls Init.
func (r *root) addInit(context.Context) error {
	if err := r.Copy(self(), "/init"); err != nil {
		return err
	}
	return r.CopyLibraries(self())
}

func (r *root) addModules(context.Context) error {
	boot := guest.Boot{}
	files, err := modules(r.kernel, r.cfg.Modules)
	if err != nil {
		return err
	}
	for i, file := range files {
		data, err := image.ReadModule(file)
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(filepath.Base(file), ".ko")
		at := fmt.Sprintf("%s/modules/%02d-%s.ko", guest.Dir, i, name)
		if err := r.Bytes(at, 0o644, data); err != nil {
			return err
		}
		boot.Modules = append(boot.Modules, at)
	}
	boot.Files = []string{"/init", guest.FilesDir}
	for _, f := range r.cfg.Files {
		if !strings.HasPrefix(f.Guest, guest.FilesDir+"/") {
			boot.Files = append(boot.Files, f.Guest)
		}
	}
	if r.cfg.Disk != "" {
		boot.Root = "/dev/vda"
	}
	text, err := json.Marshal(boot)
	if err != nil {
		return err
	}
	return r.Bytes(guest.BootFile, 0o600, text)
}

func (r *root) addFiles(context.Context) error {
	for _, f := range r.cfg.Files {
		if err := r.Copy(f.Host, f.Guest); err != nil {
			return err
		}
		if r.cfg.Disk != "" {
			continue // which has libraries of its own
		}
		if err := r.CopyLibraries(f.Host); err != nil {
			return err
		}
	}
	return nil
}

func (r *root) addBusybox(ctx context.Context) error {
	busybox, err := r.cache.Busybox(ctx)
	if err != nil {
		return err
	}
	if err := r.Copy(busybox, "/bin/busybox"); err != nil {
		return err
	}
	names, err := exec.CommandContext(ctx, busybox, "--list-full").Output()
	if err != nil {
		return fmt.Errorf("ask %s for its commands: %w", busybox, err)
	}
	for _, name := range strings.Fields(string(names)) {
		if name = path.Join("/", name); r.Has(name) {
			continue
		}
		if err := r.Link(name, "/bin/busybox"); err != nil {
			return err
		}
	}
	return nil
}
