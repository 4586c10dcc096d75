package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// cloudKernel is the meta package that depends on Debian's newest kernel for virtual machines.
const cloudKernel = "linux-image-cloud-amd64"

var cloudImage = regexp.MustCompile(`^linux-image-([0-9][0-9a-z.+~-]*-cloud-amd64)$`)

// DebianKernel returns Debian's cloud kernel, whatever other kernels there are. Once fetched it stays, so that runs do not
// change under their user; who wants the newest removes the entry from the cache.
func (c *Cache) DebianKernel(ctx context.Context) (Kernel, error) {
	return c.debianKernelFrom(ctx, c.fetchDebianKernel)
}

// fetchedDebianKernel is DebianKernel for a caller who does not want to fetch one now.
func (c *Cache) fetchedDebianKernel(ctx context.Context) (Kernel, error) {
	return c.debianKernelFrom(ctx, func(context.Context, string) error {
		return &PackageError{cloudKernel, errors.New("not fetched yet")}
	})
}

func (c *Cache) debianKernelFrom(ctx context.Context, fetch func(ctx context.Context, dir string) error) (Kernel, error) {
	const place = "Debian's cloud kernel"
	if runtime.GOARCH != "amd64" {
		return Kernel{}, &absentError{place, errors.New("the host is not x86-64")}
	}
	dir, err := c.Entry(ctx, "kernels/debian", cloudKernel, fetch)
	var unavailable *PackageError
	if errors.As(err, &unavailable) {
		return Kernel{}, &absentError{place, unavailable}
	}
	if err != nil {
		return Kernel{}, err
	}
	path := filepath.Join(dir, "vmlinuz")
	release, err := inspectKernel(path)
	if err != nil {
		return Kernel{}, fmt.Errorf("%w; or remove %s, it will be fetched again", err, dir)
	}
	path = pickUnpacked(filepath.Join(dir, "vmlinux"), path)
	return Kernel{Path: path, Release: release, Origin: OriginDebian, ModulesDir: filepath.Join(dir, "lib", "modules", release)}, nil
}

func (c *Cache) fetchDebianKernel(ctx context.Context, dir string) error {
	if !isDebian(c.host) {
		return &PackageError{cloudKernel, errors.New("the host is not Debian, whose package sources would be needed")}
	}
	progress(ctx, "fetching Debian's cloud kernel (about 27 MB, once)")
	depends, err := c.sources.Depends(ctx, cloudKernel)
	if err != nil {
		return &PackageError{cloudKernel, err}
	}
	pkg, release := "", ""
	for _, d := range depends {
		if m := cloudImage.FindStringSubmatch(d); m != nil {
			pkg, release = d, m[1]
		}
	}
	if pkg == "" {
		return &PackageError{cloudKernel, fmt.Errorf("it depends on no kernel image, only on %q", depends)}
	}
	modules := "lib/modules/" + release + "/"
	err = c.fetchPackage(ctx, pkg, dir, func(name string) (string, bool) {
		if name == "boot/vmlinuz-"+release {
			return "vmlinuz", true
		}
		name = strings.TrimPrefix(name, "usr/") // where a later Debian keeps them
		return name, strings.HasPrefix(name, modules)
	})
	if err != nil {
		return err
	}
	found, err := inspectKernel(filepath.Join(dir, "vmlinuz"))
	if err != nil {
		return err
	}
	if found != release {
		return fmt.Errorf("package %s holds kernel %s instead of %s", pkg, found, release)
	}
	image, err := os.ReadFile(filepath.Join(dir, "vmlinuz"))
	if err != nil {
		return err
	}
	if err := unpackBzImage(image, filepath.Join(dir, "vmlinux")); err != nil {
		return err
	}
	return writeModulesDep(filepath.Join(dir, filepath.FromSlash(modules)))
}

// isDebian says whether the host is Debian itself: its derivatives name their kernel packages otherwise.
func isDebian(host string) bool {
	f, err := os.Open(filepath.Join(host, "etc", "os-release"))
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "ID="); ok {
			return strings.Trim(value, `"'`) == "debian"
		}
	}
	return false
}
