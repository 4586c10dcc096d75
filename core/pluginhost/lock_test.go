package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

var goodRequest = Request{Kind: base.KindLLM, Name: "good"}

// installCopy puts a copy of the test binary into dir, to be tampered with.
func installCopy(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "voidbox-llm-good")
	copyFile(t, must(os.Executable()), path)
	return path
}

// flipByte changes one byte of a file where it lies.
func flipByte(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	const somewhere = 1000
	if _, err := f.ReadAt(b[:], somewhere); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], somewhere); err != nil {
		t.Fatal(err)
	}
}

func TestThirdPartyPluginIsLockedAtFirstUse(t *testing.T) {
	house := newHouse(t)
	path := installCopy(t, house.third)
	var saved Lock
	host := house.host(t, func(o *Options) { o.SaveLock = func(l Lock) error { saved = l; return nil } })
	if _, err := host.Describe(t.Context(), base.KindLLM, "good"); err != nil {
		t.Fatal(err)
	}
	if len(saved.Plugins) != 0 {
		t.Error("looking at a plugin is no use of it")
	}
	if _, err := host.Start(t.Context(), goodRequest); err != nil {
		t.Fatal(err)
	}
	if len(saved.Plugins) != 1 {
		t.Fatalf("lock %+v", saved)
	}
	locked := saved.Plugins[0]
	if locked.Kind != "llm" || locked.Name != "good" || locked.Version != "1.2.3" || locked.Source != path || len(locked.SHA256) != 64 {
		t.Errorf("locked %+v", locked)
	}

	flipByte(t, path)
	for _, h := range []*Host{host, house.host(t, func(o *Options) { o.Lock = &saved })} {
		_, err := h.Start(t.Context(), goodRequest)
		wantErr(t, err, ReasonHash, path+" has sha256 ")
		if !strings.Contains(err.Error(), "expected "+locked.SHA256) || !errors.Is(err, errdef.ErrPermission) {
			t.Errorf("error %v", err)
		}
		if got := errdef.Remedy(err); !strings.Contains(got, "voidbox.lock.hcl") {
			t.Errorf("remedy %q", got)
		}
		// Not even to ask it what it is.
		if _, err := h.Describe(t.Context(), base.KindLLM, "good"); !errors.Is(err, errdef.ErrPermission) {
			t.Errorf("describe: %v", err)
		}
	}
}

func TestLockThatCannotBeSaved(t *testing.T) {
	house := newHouse(t)
	installCopy(t, house.third)
	full := errors.New("disk full")
	host := house.host(t, func(o *Options) { o.SaveLock = func(Lock) error { return full } })
	for range 2 { // what was not recorded the first time has not been used
		if _, err := host.Start(t.Context(), goodRequest); !errors.Is(err, full) {
			t.Errorf("error %v", err)
		}
	}
}

// TestFirstUsesAtOnce lets two contents of one plugin, both approved before either was used, race for the lock: one wins.
func TestFirstUsesAtOnce(t *testing.T) {
	house := newHouse(t)
	path := installCopy(t, house.third)
	host := house.host(t)
	c, err := host.find(base.KindLLM, "good")
	if err != nil {
		t.Fatal(err)
	}
	first := must(host.approve(c))
	flipByte(t, path)
	second := must(host.approve(c))
	if err := host.remember(c, second, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, host.remember(c, first, "1.2.3"), ReasonHash, "is not the one that voidbox.lock.hcl names")
}

// TestLastSavedLockIsWhole starts plugins for the first time, in parallel: the lock that is saved last names all of them.
func TestLastSavedLockIsWhole(t *testing.T) {
	house := newHouse(t)
	var saved Lock
	host := house.host(t, func(o *Options) { o.SaveLock = func(l Lock) error { saved = l; return nil } })
	var saves sync.WaitGroup
	const plugins = 32
	for n := range plugins {
		c := candidate{Kind: base.KindLLM, Name: fmt.Sprint(n), ThirdParty: true}
		saves.Go(func() {
			if err := host.remember(c, &image{}, "1.0.0"); err != nil {
				t.Error(err)
			}
		})
	}
	saves.Wait()
	if len(saved.Plugins) != plugins {
		t.Errorf("%d plugins are in the lock, not %d", len(saved.Plugins), plugins)
	}
}

func TestThirdPartyPluginWithoutTLS(t *testing.T) {
	house := newHouse(t)
	install(t, house.third, "plain")
	_, err := house.host(t).Start(t.Context(), Request{Kind: base.KindLLM, Name: "plain"})
	wantErr(t, err, ReasonHandshake, "plugin llm-plain offers no TLS")
}

func TestPinnedByRequirement(t *testing.T) {
	house := newHouse(t)
	path := installCopy(t, house.builtin)
	require := func(sha string) func(*Options) {
		return func(o *Options) { o.Required = []plan.Requirement{{Kind: "llm", Name: "good", SHA256: sha}} }
	}
	_, err := house.host(t, require(strings.Repeat("0", 64))).Start(t.Context(), goodRequest)
	wantErr(t, err, ReasonHash, "is not the one that required_plugins names")

	found, err := house.host(t, func(o *Options) {
		o.Required = []plan.Requirement{{Kind: "llm", Name: "good", Source: path}}
		o.BuiltinDir = house.third // so that the source counts as third-party and is hashed
	}).Describe(t.Context(), base.KindLLM, "good")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := house.host(t, require(strings.ToUpper(found.SHA256))).Start(t.Context(), goodRequest); err != nil {
		t.Error(err)
	}
}

// TestSwappedBetweenCheckAndStart replaces the binary, in both ways there are, after it was approved. What runs is what was
// approved: the replacement could not run.
func TestSwappedBetweenCheckAndStart(t *testing.T) {
	script := []byte("#!/bin/sh\nexit 7\n")
	for _, tt := range []struct {
		name string
		swap func(path string) error
	}{
		{"renamed over", func(path string) error {
			if err := os.WriteFile(path+".new", script, 0o755); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}},
		{"written into", func(path string) error { return os.WriteFile(path, script, 0o755) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			house := newHouse(t)
			path := installCopy(t, house.third)
			host := house.host(t)
			c, err := host.find(base.KindLLM, "good")
			if err != nil {
				t.Fatal(err)
			}
			img, desc, err := host.inspect(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.swap(path); err != nil {
				t.Fatal(err)
			}
			inst, err := host.launch(t.Context(), c, img, desc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := host.configure(t.Context(), inst, goodRequest); err != nil {
				t.Fatal(err)
			}
			if got, err := ask(t.Context(), inst, "the same"); got != "the same" || err != nil {
				t.Errorf("answer %q, %v", got, err)
			}
		})
	}
}

func TestVersionConstraint(t *testing.T) {
	for _, tt := range []struct{ constraint, text string }{
		{">= 1.2, < 2", ""},
		{"~> 1.3", `has version 1.2.3; required_plugins asks for "~> 1.3"`},
		{"newest", `"newest" is no version constraint`},
	} {
		t.Run(tt.constraint, func(t *testing.T) {
			_, err := newHouse(t).start(t, "good", func(o *Options) {
				o.Required = []plan.Requirement{{Kind: "llm", Name: "good", Version: tt.constraint}}
			})
			if tt.text == "" && err != nil {
				t.Fatal(err)
			}
			if tt.text != "" {
				wantErr(t, err, ReasonVersion, tt.text)
			}
		})
	}
}

func TestDevOverride(t *testing.T) {
	house := newHouse(t)
	installCopy(t, house.third)
	locked := Lock{Plugins: []LockedPlugin{{Kind: "llm", Name: "good", SHA256: strings.Repeat("0", 64)}}}
	elsewhere := t.TempDir()
	host := house.host(t, func(o *Options) {
		o.Dirs, o.Lock = []string{elsewhere}, &locked
		o.Overrides = map[string]string{"llm-good": house.third}
	})
	if _, err := host.Start(t.Context(), goodRequest); err != nil {
		t.Fatal(err)
	}
	if _, ok := house.log.find("overridden for development"); !ok {
		t.Error("nobody was warned")
	}
}

func TestFirstDirectoryWins(t *testing.T) {
	house := newHouse(t)
	own := install(t, house.builtin, "good")
	install(t, house.third, "good")
	install(t, house.third, "gold")
	if err := os.WriteFile(filepath.Join(house.third, "voidbox-llm-dead"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	host := house.host(t)
	found, err := host.Describe(t.Context(), base.KindLLM, "good")
	if err != nil || found.Path != own || found.ThirdParty {
		t.Errorf("found %+v, %v", found, err)
	}
	list, err := host.List(t.Context())
	if err != nil || len(list) != 3 {
		t.Fatalf("list %+v, %v", list, err)
	}
	for _, f := range list {
		if (f.Err != nil) != (f.Name == "dead") || f.ThirdParty != (f.Path != own) {
			t.Errorf("listed %+v", f)
		}
	}
}

func TestDescriptionIsCached(t *testing.T) {
	house := newHouse(t)
	path := installCopy(t, house.builtin)
	cache := t.TempDir()
	withCache := func(o *Options) { o.CacheDir = cache }
	if _, err := house.host(t, withCache).Describe(t.Context(), base.KindLLM, "good"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(cache, "describe", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("cached %v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte(`{"kind":"llm","name":"good","version":"9.9.9","protocol_versions":[1]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := house.host(t, withCache).Describe(t.Context(), base.KindLLM, "good")
	if err != nil || found.Description.Version != "9.9.9" {
		t.Errorf("not from the cache: %+v, %v", found, err)
	}
	if err := os.Chmod(filepath.Dir(files[0]), 0o777); err != nil {
		t.Fatal(err)
	}
	found, err = house.host(t, withCache).Describe(t.Context(), base.KindLLM, "good")
	if err != nil || found.Description.Version != "1.2.3" {
		t.Errorf("an answer that others may have written is used: %+v, %v", found, err)
	}
	flipByte(t, path)
	copyFile(t, must(os.Executable()), path)
	found, err = house.host(t, withCache).Describe(t.Context(), base.KindLLM, "good")
	if err != nil || found.Description.Version != "1.2.3" {
		t.Errorf("the cache outlives the file: %+v, %v", found, err)
	}
}
