package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/overlay"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/share"
)

func TestMountsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(target, source, mode string) plan.Mount {
		return plan.Mount{Target: target, Source: source, Mode: mode}
	}
	for name, tc := range map[string]struct {
		backend string
		mounts  []plan.Mount
		missing string
		want    error
		says    string
	}{
		"all is there":                {"kvm", []plan.Mount{at("/a", dir, "rw"), at("/a b/ü", file, "ro")}, "", nil, ""},
		"a backend without devices":   {"qemu", []plan.Mount{at("/a", dir, "rw")}, "", errdef.ErrUnsupported, "backend qemu"},
		"a plugin that is not there":  {"kvm", []plan.Mount{at("/a", dir, "rw")}, "share-virtiofs", errdef.ErrNotFound, ""},
		"source missing":              {"kvm", []plan.Mount{at("/a", dir+"/nowhere", "rw")}, "", errdef.ErrNotFound, "/nowhere does not exist"},
		"file where a directory is":   {"kvm", []plan.Mount{at("/a/", file, "rw")}, "", errdef.ErrInvalid, "is a file"},
		"overlay of a file":           {"kvm", []plan.Mount{at("/a", file, "overlay")}, "", errdef.ErrInvalid, "needs a directory"},
		"neither file nor directory":  {"kvm", []plan.Mount{at("/a", "/dev/null", "rw")}, "", errdef.ErrInvalid, "neither a directory"},
		"two at one path":             {"kvm", []plan.Mount{at("/a", dir, "rw"), at("/b/../a", dir, "ro")}, "", errdef.ErrInvalid, "mounted there already"},
		"over the root":               {"kvm", []plan.Mount{at("/", dir, "rw")}, "", errdef.ErrInvalid, "root file system"},
		"a path that is not absolute": {"kvm", []plan.Mount{at("a", dir, "rw")}, "", errdef.ErrInvalid, "absolute"},
		"a mode that there is not":    {"kvm", []plan.Mount{at("/a", dir, "wr")}, "", errdef.ErrInvalid, `"wr" is none of`},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Run{ctx: t.Context(), cfg: Config{Host: &fakeHost{t: t, missing: map[string]bool{tc.missing: true}}}}
			err := r.checkSandbox(&plan.Sandbox{Name: "box", Backend: tc.backend, Mounts: tc.mounts})
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("error %v", err)
			}
			if config := new(ConfigError); err != nil && !errors.As(err, &config) {
				t.Errorf("%T is not for whoever wrote the file", err)
			}
		})
	}
}

func TestTheHostsUserIsTheGuests(t *testing.T) {
	dir := t.TempDir()
	a, g, err := shareAttachment(&plan.Sandbox{Mounts: []plan.Mount{{Target: "/w/", Source: dir, Mode: "rw"}, {Target: "/r", Source: dir}}})
	if err != nil {
		t.Fatal(err)
	}
	ids := share.IDMap{HostUID: uint32(os.Getuid()), HostGID: uint32(os.Getgid()), GuestUID: 1000, GuestGID: 1000}
	for i, mode := range []share.Mode{share.ReadWrite, share.ReadOnly} {
		if m := a.Mounts[i]; m.Mode != mode || *m.IDMap != ids || m.Tag != g.Mounts[i].Name || g.Mounts[i].ReadOnly != (mode == share.ReadOnly) {
			t.Errorf("mount %d: %+v, %+v", i, m, g.Mounts[i])
		}
	}
	if g.Mounts[0].Target != "/w" {
		t.Errorf("target %q", g.Mounts[0].Target)
	}
}

func TestOverlaysHaveTheirPlaces(t *testing.T) {
	spec := &plan.Sandbox{Name: "box", Mounts: []plan.Mount{{Target: "/w", Source: t.TempDir(), Mode: "overlay"}}}
	attach := func(r *Run) (string, func()) {
		t.Helper()
		a, _, err := shareAttachment(spec)
		if err != nil {
			t.Fatal(err)
		}
		release, err := r.keepWrites(spec, a.Mounts)
		if err != nil {
			t.Fatal(err)
		}
		return a.Mounts[0].UpperPath, release
	}
	dir := t.TempDir()
	kept, release := attach(&Run{cfg: Config{Overlays: dir}})
	release()
	again, release := attach(&Run{cfg: Config{Overlays: dir}})
	release()
	if kept != again || !strings.HasPrefix(kept, dir) {
		t.Errorf("first %s, then %s", kept, again)
	}
	if mounts, err := overlay.Load(dir); err != nil || len(mounts) != 1 || mounts[0].Target != "/w" || mounts[0].Upper != kept {
		t.Errorf("%+v, %v", mounts, err)
	}
	gone, release := attach(&Run{})
	release()
	if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what nobody can ask for is left at %s: %v", gone, err)
	}
}
