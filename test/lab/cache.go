package lab

import (
	"context"
	"path"
	"path/filepath"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/test/lab/internal/guest"
)

// CacheDir is where [Cache] puts the cache of core/image in the lab; name it in $VOIDBOX_CACHE_DIR.
const CacheDir = guest.FilesDir + "/cache"

// Cache puts what a sandbox needs of the cache into the lab, which has no network to fetch it: the guest kernel that would be chosen
// and the programs of the base image.
func Cache(ctx context.Context, s *Setup) error {
	return putCache(ctx, s, func(ctx context.Context, c *image.Cache) (image.Kernel, error) {
		return c.Kernel(ctx, image.KernelRequest{})
	})
}

// CacheDebian is [Cache] with Debian's cloud kernel, whichever would be chosen.
func CacheDebian(ctx context.Context, s *Setup) error {
	return putCache(ctx, s, func(ctx context.Context, c *image.Cache) (image.Kernel, error) { return c.DebianKernel(ctx) })
}

func putCache(ctx context.Context, s *Setup, find func(context.Context, *image.Cache) (image.Kernel, error)) error {
	cache, err := image.OpenCache("")
	if err != nil {
		return err
	}
	ctx = image.WithProgress(ctx, s.Log)
	kernel, err := find(ctx, cache)
	if err != nil {
		return err
	}
	if _, err := cache.Busybox(ctx); err != nil {
		return err
	}
	// The build that is current is a directory of another name.
	place := path.Join(CacheDir, "kernels", "own", "current")
	if kernel.Origin == image.OriginDebian {
		place = path.Join(CacheDir, "kernels", "debian", filepath.Base(filepath.Dir(kernel.Path)))
	}
	s.Files = append(s.Files,
		File{Host: filepath.Dir(kernel.Path), Guest: place},
		File{Host: filepath.Join(cache.Dir(), "packages"), Guest: path.Join(CacheDir, "packages")})
	return nil
}

// ToolsDrive gives the lab the disk of [ToolsDisk] as a further drive, for a guest of the lab to run from.
func ToolsDrive(ctx context.Context, s *Setup) error {
	disk, err := ToolsDisk(ctx, s.Log)
	s.Drives = append(s.Drives, Drive{Path: disk})
	return err
}
