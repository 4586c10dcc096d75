package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/voidbox-run/voidbox/core/config"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// pluginHost returns a host for the installed plugins, without a configuration that pins any.
func (c *cli) pluginHost() (*pluginhost.Host, error) { return pluginhost.New(hostOptions()) }

func hostOptions() pluginhost.Options {
	return pluginhost.Options{
		CacheDir: cacheDir(),
		Dirs:     pluginhost.DefaultDirs(),
		Reattach: os.Getenv(sdk.EnvReattach),
		Logger:   slog.Default(),
	}
}

// cacheDir is where descriptions of plugins are kept, beside kernels and images. Without one they are asked for in every run.
func cacheDir() string {
	if dir := os.Getenv("VOIDBOX_CACHE_DIR"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "voidbox")
}

// hostFor returns a host that holds plugins to what the file at path requires of them and to the lock file beside it. Without a
// host, the diagnostics say why the file cannot even be read that far.
func (c *cli) hostFor(path string) (*pluginhost.Host, config.Diagnostics, error) {
	required, diags := config.Requirements(path)
	if diags.HasErrors() {
		return nil, diags, nil
	}
	lockFile := lockPath(path)
	lock, err := config.LoadLock(lockFile)
	if err != nil {
		return nil, nil, failWith(exitUsage, err)
	}
	opt := hostOptions()
	opt.Lock = &lock
	opt.SaveLock = func(l pluginhost.Lock) error { return config.SaveLock(lockFile, l) }
	opt.Overrides = map[string]string{}
	for _, r := range required {
		if r.Dev {
			opt.Overrides[r.Kind+"-"+r.Name] = r.Source
			continue
		}
		opt.Required = append(opt.Required, r)
	}
	host, err := pluginhost.New(opt)
	return host, diags, err
}

// lockPath is where the lock of a configuration lies: beside the file, or in the directory.
func lockPath(path string) string {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return filepath.Join(path, config.LockFileName)
	}
	return filepath.Join(filepath.Dir(path), config.LockFileName)
}

// describe fits a host to what config asks for, and notes when a plugin was there but refused.
func (c *cli) describe(host *pluginhost.Host) func(context.Context, base.Kind, string) (base.Description, error) {
	return func(ctx context.Context, kind base.Kind, name string) (base.Description, error) {
		found, err := host.Describe(ctx, kind, name)
		if err != nil && !absent(err) {
			c.refused.Store(true)
		}
		return found.Description, err
	}
}

// absent tells whether a plugin is not installed.
func absent(err error) bool {
	var e *errdef.Error
	return errors.As(err, &e) && e.Reason == pluginhost.ReasonNotFound
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
