package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/image/lock"
)

// CacheDirEnv names the environment variable that moves the cache.
const CacheDirEnv = "VOIDBOX_CACHE_DIR"

// Cache is the content-addressed store of everything that VMs boot from. Its methods may be called from several
// goroutines and several processes at once.
type Cache struct {
	dir string
	// sources is where packages come from; tests put their own here.
	sources packageSource
	// host is the root of the host's file system, "/" but in tests.
	host string
	now  func() time.Time
}

// OpenCache opens the cache in dir and creates the directory where it is missing. The default, "", stands for
// $VOIDBOX_CACHE_DIR, else $XDG_CACHE_HOME/voidbox, else ~/.cache/voidbox.
func OpenCache(dir string) (*Cache, error) {
	dir, err := cacheDir(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create the cache directory: %w; set %s to a directory that you can write to", err, CacheDirEnv)
	}
	if err := checkOwner(dir); err != nil {
		return nil, err
	}
	return &Cache{dir: dir, sources: &apt{state: filepath.Join(dir, "apt")}, host: "/", now: time.Now}, nil
}

// checkOwner refuses a cache that another user can fill: what lies in it is booted, and its busybox is executed here.
func checkOwner(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fmt.Errorf("cache directory %s: %w", dir, err)
	}
	if st.Mode&0o002 != 0 {
		return fmt.Errorf("every user may write to the cache directory %s: run chmod o-w %s, or set %s to a directory of your own", dir, dir, CacheDirEnv)
	}
	if uid := int(st.Uid); uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("the cache directory %s belongs to user %d, and you are user %d: set %s to a directory of your own", dir, uid, os.Geteuid(), CacheDirEnv)
	}
	return nil
}

// Dir returns the absolute path of the cache.
func (c *Cache) Dir() string { return c.dir }

func cacheDir(dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv(CacheDirEnv)
	}
	if dir == "" {
		base := os.Getenv("XDG_CACHE_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("find the cache directory: %w; set %s", err, CacheDirEnv)
			}
			base = filepath.Join(home, ".cache")
		}
		dir = filepath.Join(base, "voidbox")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cache directory %q: %w", dir, err)
	}
	return abs, nil
}

// Entry returns the directory kind/key of the cache. Where it does not exist, build makes its content in a fresh
// directory, which becomes the entry only once build has returned nil and everything has reached the disk. kind and
// key are chosen by the program: kind is a slash-separated path, key the hash or the name of all that decides the
// content. At any time at most one process builds an entry. The error where the disk is full is a [*FullError].
func (c *Cache) Entry(ctx context.Context, kind, key string, build func(ctx context.Context, dir string) error) (string, error) {
	if !filepath.IsLocal(kind) || !filepath.IsLocal(key) || strings.ContainsAny(key, `/\`) || key[0] == '.' {
		return "", fmt.Errorf("cache entry %q of kind %q: not a name for a file", key, kind)
	}
	parent := filepath.Join(c.dir, filepath.FromSlash(kind))
	final := filepath.Join(parent, key)
	if isDir(final) {
		return final, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", c.explain(err)
	}
	unlock, err := takeLock(ctx, lockPath(parent, key))
	if err != nil {
		return "", fmt.Errorf("lock cache entry %s/%s: %w", kind, key, c.explain(err))
	}
	defer unlock()
	if isDir(final) {
		return final, nil
	}
	sweep(parent, key)
	if err := c.build(ctx, parent, key, build); err != nil {
		return "", fmt.Errorf("build cache entry %s/%s: %w", kind, key, c.explain(err))
	}
	return final, nil
}

// build runs with the lock of key held, so a working directory that bears its name belongs to nobody.
func (c *Cache) build(ctx context.Context, parent, key string, build func(ctx context.Context, dir string) error) (err error) {
	work := filepath.Join(parent, workPrefix+key)
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	if err := build(ctx, work); err != nil {
		return err
	}
	if err := syncTree(work); err != nil {
		return fmt.Errorf("sync to disk: %w", err)
	}
	if err := os.Rename(work, filepath.Join(parent, key)); err != nil {
		return err
	}
	return syncDir(parent)
}

// A builder works in parent/.build-<key> while it holds parent/<key>.lock. The lock file stays: removing it would
// let two processes hold "the" lock of one key on two inodes.
const (
	workPrefix = ".build-"
	lockSuffix = ".lock"
)

func lockPath(parent, key string) string { return filepath.Join(parent, key+lockSuffix) }

func takeLock(ctx context.Context, path string) (unlock func(), err error) {
	return lock.Take(ctx, path, func() { progress(ctx, "waiting for another voidbox, which is preparing the same thing") })
}

// sweep removes the working directories that dead processes left in parent. Whoever is at work holds the lock of the
// key, so a lock that is free means that nobody is. The caller's own key is left to it. Failures are no concern of
// the caller's: what cannot be removed now is tried again by the next builder.
func sweep(parent, own string) {
	names, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, n := range names {
		key, isWork := strings.CutPrefix(n.Name(), workPrefix)
		if !isWork || key == own {
			continue
		}
		unlock, err := lock.Try(lockPath(parent, key))
		if err != nil {
			continue
		}
		_ = os.RemoveAll(filepath.Join(parent, n.Name()))
		unlock()
	}
}

// FullError says that the disk under the cache is full. Nothing half-made was kept.
type FullError struct {
	Dir string // the cache directory
	Err error  // what failed
}

func (e *FullError) Error() string {
	return fmt.Sprintf("the disk under the cache %s is full (%v): free some space there, or set %s to a directory on another disk",
		e.Dir, e.Err, CacheDirEnv)
}

func (e *FullError) Unwrap() error { return e.Err }

func (c *Cache) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &FullError{Dir: c.dir, Err: err}
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w; the cache %s must be writable: set %s to a directory of your own", err, c.dir, CacheDirEnv)
	}
	return err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
