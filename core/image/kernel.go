package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// KernelRequest says which kernel is wanted.
type KernelRequest struct {
	// Path names a kernel file: a bzImage, or an ELF vmlinux with a PVH entry. "" lets the cache choose.
	Path string
	// Initrd names an initramfs of the user's own, which takes the place of the one that [Cache.Initramfs] builds. It
	// must bring what it needs: the guest agent as /init and the kernel's modules. "" is the normal case.
	Initrd string
}

// Where a kernel came from: the values of [Kernel.Origin].
const (
	OriginNamed  = "named"  // the user named the file
	OriginOwn    = "own"    // built by `make kernel`
	OriginDebian = "debian" // Debian's cloud kernel, fetched as a package
	OriginHost   = "host"   // the kernel that the host itself boots
)

// Kernel is a guest kernel whose header has been checked.
type Kernel struct {
	// Path is the absolute path of what to boot: a vmlinux with a PVH entry, or a bzImage where that could not be
	// unpacked. A bzImage that the user named is unpacked into the cache, so this need not be the path asked for.
	Path    string
	Release string // what uname -r says in the guest, "6.1.0-56-cloud-amd64"
	Origin  string // OriginNamed, OriginOwn, OriginDebian or OriginHost
	// ModulesDir is the absolute path of lib/modules/<release>, "" where there are no modules: a monolithic kernel.
	ModulesDir string
	// Initrd is the user's own initramfs, "" in the normal case.
	Initrd string
}

// Kernel resolves req. With a path it takes that file or fails. Without one it takes the first that exists of: the
// user's own build, Debian's cloud kernel (which it fetches when the cache does not hold it), the host's kernel. A
// file that exists but is broken is an error, never a reason to go on to the next. The error where nothing is found
// is a [*NoKernelError].
func (c *Cache) Kernel(ctx context.Context, req KernelRequest) (Kernel, error) {
	kernel, err := c.resolve(ctx, req.Path)
	if err != nil {
		return Kernel{}, err
	}
	if req.Initrd == "" {
		return kernel, nil
	}
	if kernel.Initrd, err = checkInitrd(req.Initrd); err != nil {
		return Kernel{}, err
	}
	return kernel, nil
}

func (c *Cache) resolve(ctx context.Context, path string) (Kernel, error) {
	if path != "" {
		return c.namedKernel(ctx, path)
	}
	return firstKernel(ctx, c.ownKernel, c.DebianKernel, c.hostKernel)
}

// CachedKernel returns the kernel that [Cache.Kernel] would choose if nothing could be fetched.
func (c *Cache) CachedKernel(ctx context.Context) (Kernel, error) {
	return firstKernel(ctx, c.ownKernel, c.fetchedDebianKernel, c.hostKernel)
}

func firstKernel(ctx context.Context, sources ...func(context.Context) (Kernel, error)) (Kernel, error) {
	var missing NoKernelError
	for _, source := range sources {
		kernel, err := source(ctx)
		var absent *absentError
		if !errors.As(err, &absent) {
			return kernel, err
		}
		missing.Tried = append(missing.Tried, absent)
	}
	return Kernel{}, &missing
}

// NoKernelError says that no guest kernel was found, and why each place had none.
type NoKernelError struct {
	Tried []error
}

func (e *NoKernelError) Error() string {
	var b strings.Builder
	b.WriteString("no guest kernel found:")
	for _, err := range e.Tried {
		b.WriteString("\n  - " + err.Error())
	}
	b.WriteString("\nname one in the sandbox block (kernel = \"/path/to/vmlinuz\"), or build one with `make kernel`")
	return b.String()
}

func (e *NoKernelError) Unwrap() []error { return e.Tried }

// absentError says that one place has no kernel, so that the next one is asked.
type absentError struct {
	place string
	err   error
}

func (e *absentError) Error() string { return e.place + ": " + e.err.Error() }
func (e *absentError) Unwrap() error { return e.err }

func (c *Cache) namedKernel(ctx context.Context, path string) (Kernel, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel %q: %w", path, err)
	}
	release, err := inspectKernel(abs)
	if err != nil {
		return Kernel{}, err
	}
	dir := filepath.Dir(abs)
	modules := firstDir(
		filepath.Join(dir, "lib", "modules", release),
		filepath.Join(dir, "..", "lib", "modules", release), // a root file system with boot/ and lib/
		filepath.Join(c.host, "lib", "modules", release),
	)
	unpacked, err := c.unpackKernel(ctx, abs)
	if err != nil {
		return Kernel{}, err
	}
	return Kernel{Path: unpacked, Release: release, Origin: OriginNamed, ModulesDir: modules}, nil
}

// ownKernel finds what guest/kernel/build.sh installed; the layout is written down there.
func (c *Cache) ownKernel(context.Context) (Kernel, error) {
	current, err := filepath.EvalSymlinks(filepath.Join(c.dir, "kernels", "own", "current"))
	if err != nil {
		return Kernel{}, &absentError{"your own build", errors.New("none in the cache " + c.dir)}
	}
	path := filepath.Join(current, "vmlinux")
	release, err := inspectKernel(path)
	if err != nil {
		return Kernel{}, fmt.Errorf("%w, or remove %s and run `make kernel` again", err, current)
	}
	return Kernel{Path: path, Release: release, Origin: OriginOwn}, nil
}

// hostKernel uses the kernel file and the modules of the machine that we run on.
func (c *Cache) hostKernel(ctx context.Context) (Kernel, error) {
	const place = "the host's own kernel"
	if runtime.GOOS != "linux" {
		return Kernel{}, &absentError{place, errors.New("the host is not Linux")}
	}
	release, err := hostRelease()
	if err != nil {
		return Kernel{}, &absentError{place, err}
	}
	path := filepath.Join(c.host, "boot", "vmlinuz-"+release)
	modules := filepath.Join(c.host, "lib", "modules", release)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrPermission) {
		return Kernel{}, &absentError{place, fmt.Errorf("%s may be read by root only; allow it with: sudo chmod +r %s", path, path)}
	}
	if err != nil {
		return Kernel{}, &absentError{place, err}
	}
	_ = f.Close()
	if !isDir(modules) {
		return Kernel{}, &absentError{place, fmt.Errorf("%s does not exist", modules)}
	}
	found, err := inspectKernel(path)
	if err != nil {
		return Kernel{}, err
	}
	if path, err = c.unpackKernel(ctx, path); err != nil {
		return Kernel{}, err
	}
	return Kernel{Path: path, Release: found, Origin: OriginHost, ModulesDir: modules}, nil
}

func hostRelease() (string, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(release)), err
}

func firstDir(paths ...string) string {
	for _, p := range paths {
		if isDir(p) {
			return filepath.Clean(p)
		}
	}
	return ""
}

// checkInitrd refuses what cannot be an initramfs, so that the user reads of it here and not in a kernel panic.
func checkInitrd(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("initrd %q: %w", path, err)
	}
	f, err := os.Open(abs)
	if err != nil {
		return "", fmt.Errorf("initrd: %w; name an initramfs that you can read, or leave the argument out", err)
	}
	defer f.Close()
	head := make([]byte, 6)
	n, _ := f.Read(head)
	for _, magic := range []string{"070701", "070702", "\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd7zXZ", "\x02\x21\x4c\x18"} {
		if strings.HasPrefix(string(head[:n]), magic) {
			return abs, nil
		}
	}
	return "", fmt.Errorf("initrd %s is not an initramfs (a newc archive, plain or packed with gzip, zstd, xz or lz4): name another file, or leave the argument out", abs)
}
