package agentimage

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/internal/testimage"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Every recipe of the repository is complete: pinned, licensed, and with its programs among its packages.
func TestRecipes(t *testing.T) {
	list, err := Recipes()
	if err != nil || len(list) != 3 {
		t.Fatalf("%d recipes, %v", len(list), err)
	}
	for _, r := range list {
		if err := r.check(); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		for name, path := range r.Programs {
			ok := false
			for _, p := range r.NPM {
				ok = ok || strings.HasPrefix(path, p.dir()+"/")
			}
			if !ok {
				t.Errorf("%s: the program %s is in no package: %s", r.Name, name, path)
			}
		}
		if proprietary := r.Licence == "proprietary"; proprietary != (r.Terms != "") {
			t.Errorf("%s: licence %q, terms %q", r.Name, r.Licence, r.Terms)
		}
	}
}

// npm makes a package of files.
func npm(t *testing.T, entries ...testimage.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(testimage.Tar(t, entries...))
	z.Close()
	return b.Bytes()
}

func integrity(tarball []byte) string {
	sum := sha512.Sum512(tarball)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// world is a registry with one package, and a builder that asks it.
type world struct {
	tarball  []byte
	answer   func(w http.ResponseWriter, r *http.Request) bool // in place of the tarball; nil is none
	requests atomic.Int32

	Builder
	recipe Recipe
}

func newWorld(t *testing.T) *world {
	w := &world{tarball: npm(t, testimage.File("package/package.json", "{}"), testimage.File("package/bin/tool", "#!/bin/sh\necho tool\n"),
		testimage.File("package/voice/large", "x"))}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.requests.Add(1)
		if w.answer != nil && w.answer(out, r) {
			return
		}
		if r.URL.Path != "/mirror/@acme/tool/-/tool-1.2.3.tgz" {
			http.NotFound(out, r)
			return
		}
		out.Write(w.tarball)
	}))
	t.Cleanup(server.Close)
	cache, err := image.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.Builder = Builder{Cache: cache, Registry: server.URL + "/mirror", pause: time.Millisecond, bootstrap: func(_ context.Context, r Recipe, archive string) error {
		content := testimage.Tar(t, testimage.File("etc/packages", strings.Join(r.Debian, " ")), testimage.File("etc/passwd", "root:x:0:0::/root:/bin/sh\n"))
		return os.WriteFile(archive, content, 0o644)
	}}
	w.recipe = Recipe{
		Name: "tool", Title: "Tool", Version: "1.2.3", Licence: "MIT", Suite: "trixie", Debian: []string{"bash"},
		NPM:      []Package{{Name: "@acme/tool", Version: "1.2.3", Integrity: integrity(w.tarball), Licence: "MIT"}},
		Programs: map[string]string{"tool": "@acme/tool/bin/tool"}, Omit: []string{"@acme/tool/voice"},
	}
	return w
}

// An image is built once, is found under its name, and is made anew when the recipe is another or when that is asked for.
func TestBuild(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	built, err := w.Build(ctx, w.recipe, false)
	if err != nil || !built.Fresh || built.Name != "localhost/voidbox/tool:1.2.3" || built.Files != 15 {
		t.Fatalf("%+v, %d files, %v", built, built.Files, err)
	}
	for _, name := range []string{"localhost/voidbox/tool", "localhost/voidbox/tool:1.2.3"} {
		s, err := source.Parse(name, "")
		if err != nil {
			t.Fatal(err)
		}
		if img, err := w.Cache.Image(ctx, s); err != nil || img.ID != built.ID || img.Config.Labels["org.opencontainers.image.licenses"] != "MIT" {
			t.Errorf("%s: %+v, %v", name, img, err)
		}
	}
	if again, err := w.Build(ctx, w.recipe, false); err != nil || again.Fresh || again.ID != built.ID || w.requests.Load() != 1 {
		t.Errorf("a second time: %+v, %v, %d requests", again, err, w.requests.Load())
	}
	if forced, err := w.Build(ctx, w.recipe, true); err != nil || !forced.Fresh || forced.ID != built.ID {
		t.Errorf("by force: %+v, %v", forced, err)
	}
	other, err := w.Build(ctx, w.recipe.With("python3"), false)
	if err != nil || !other.Fresh || other.ID == built.ID {
		t.Errorf("another recipe: %+v, %v", other, err)
	}
	if listed, err := w.Cache.FindImage("localhost/voidbox/tool"); err != nil || listed.ID != other.ID || len(listed.Names) != 2 {
		t.Errorf("%+v, %v", listed, err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.Cache.Dir(), workDir, "*")); len(left) != 1 { // the lock
		t.Errorf("left behind: %v", left)
	}
}

// An image that is in no cache is nobody else's to give.
func TestImageThatWasNotBuilt(t *testing.T) {
	w := newWorld(t)
	s, err := source.Parse("localhost/voidbox/codex:9", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Cache.Image(t.Context(), s)
	if !errors.Is(err, errdef.ErrNotFound) || errdef.Remedy(err) != "build it: voidbox agent-image codex" {
		t.Errorf("%v; %s", err, errdef.Remedy(err))
	}
}

func TestRegistryThatMisbehaves(t *testing.T) {
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	for name, test := range map[string]struct {
		answer       func(w http.ResponseWriter, r *http.Request) bool
		tarball      []byte
		base         string
		kind         error
		says, remedy string
		requests     int32
	}{
		"another package": {tarball: npm(t, testimage.File("package/bin/tool", "evil")), kind: errdef.ErrInvalid,
			says: "should be sha512-", remedy: "do not use it", requests: 1},
		"no archive": {tarball: []byte("<html>please log in</html>"), kind: errdef.ErrInvalid, says: "should be sha512-", remedy: "do not use it", requests: 1},
		"lacks it":   {answer: status(404), kind: errdef.ErrNotFound, says: "404", remedy: "unset NPM_CONFIG_REGISTRY", requests: 1},
		"a login":    {answer: status(401), kind: errdef.ErrNotFound, says: "401", remedy: "a login", requests: 1},
		"overloaded": {answer: status(503), kind: errdef.ErrUnavailable, says: "503", remedy: "is the network up", requests: attempts},
		"breaks off": {answer: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "100000")
			w.Write([]byte("\x1f\x8b"))
			return true
		}, kind: errdef.ErrUnavailable, says: "unexpected EOF", remedy: "is the network up", requests: attempts},
		"nobody":  {base: "http://127.0.0.1:1", kind: errdef.ErrUnavailable, says: "connection refused", remedy: "HTTPS_PROXY"},
		"not one": {base: "ftp://registry", kind: errdef.ErrInvalid, says: `"ftp://registry"`, remedy: "mend NPM_CONFIG_REGISTRY"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.answer = test.answer
			if test.tarball != nil {
				w.tarball = test.tarball
			}
			if test.base != "" {
				w.Registry = test.base
			}
			_, err := w.Build(t.Context(), w.recipe, false)
			if !errors.Is(err, test.kind) || !strings.Contains(fmt.Sprint(err), test.says) || !strings.Contains(errdef.Remedy(err), test.remedy) {
				t.Errorf("%v; %s", err, errdef.Remedy(err))
			}
			if w.requests.Load() != test.requests {
				t.Errorf("%d requests", w.requests.Load())
			}
			if list, err := w.Cache.Images(); err != nil || len(list) != 0 {
				t.Errorf("left in the cache: %v, %v", list, err)
			}
			if left, _ := filepath.Glob(filepath.Join(w.Cache.Dir(), workDir, "*")); len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A connection that breaks off once costs nothing but time.
func TestFetchIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.answer = func(out http.ResponseWriter, _ *http.Request) bool {
		if w.requests.Load() > 1 {
			return false
		}
		out.Header().Set("Content-Length", "100000")
		out.Write(w.tarball[:20])
		return true
	}
	if built, err := w.Build(t.Context(), w.recipe, false); err != nil || !built.Fresh || w.requests.Load() != 2 {
		t.Errorf("%v, %d requests", err, w.requests.Load())
	}
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.answer = func(http.ResponseWriter, *http.Request) bool { cancel(); <-ctx.Done(); return true }
	if _, err := w.Build(ctx, w.recipe, false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.Cache.Dir(), workDir, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestMissingTool(t *testing.T) {
	w := newWorld(t)
	w.bootstrap = nil
	t.Setenv("PATH", t.TempDir())
	_, err := w.Build(t.Context(), w.recipe, false)
	if !errors.Is(err, errdef.ErrUnavailable) || !strings.Contains(errdef.Remedy(err), "apt-get install mmdebstrap") {
		t.Errorf("%v; %s", err, errdef.Remedy(err))
	}
}

// What mmdebstrap cannot do is said in a line, with what to look at.
func TestToolThatFails(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for said, want := range map[string]string{
		"I: running apt-get update\nErr:1 http://deb.debian.org/debian trixie InRelease\n  Temporary failure resolving 'deb.debian.org'\nE: apt-get failed": "deb.debian.org",
		"E: Unable to locate package no-such-package\nE: run_chroot failed":                                                                                 "Unable to locate package no-such-package",
	} {
		script := "#!/bin/sh\ncat >&2 <<'X'\n" + said + "\nX\nexit 25\n"
		if err := os.WriteFile(filepath.Join(dir, "mmdebstrap"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		w := newWorld(t)
		err := bootstrap(t.Context(), w.recipe, filepath.Join(dir, "out.tar"))
		if !errors.Is(err, errdef.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), want) || !strings.Contains(errdef.Remedy(err), "http_proxy") {
			t.Errorf("%v; %s", err, errdef.Remedy(err))
		}
	}
}

func TestRegistryOfTheUser(t *testing.T) {
	home := t.TempDir()
	npmrc := "//registry.example/:_authToken=secret\nregistry = \"https://npm.example/mirror/\"\n"
	if err := os.WriteFile(filepath.Join(home, ".npmrc"), []byte(npmrc), 0o600); err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{
		"":                                       "https://npm.example/mirror",
		"NPM_CONFIG_REGISTRY=https://a.example/": "https://a.example",
		"npm_config_registry=https://b.example":  "https://b.example",
		"NPM_CONFIG_USERCONFIG=/nowhere":         npmjs,
	} {
		name, value, _ := strings.Cut(env, "=")
		got := Registry(func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}, home)
		if got != want {
			t.Errorf("%s: %s, want %s", env, got, want)
		}
	}
}

func TestHostilePackages(t *testing.T) {
	pack := repacker{dir: "p", omit: []string{"p/skip"}, programs: map[string]bool{"p/run": true}}
	for name, entry := range map[string]testimage.Entry{
		"climbs":          testimage.File("package/../../etc/passwd", "x"),
		"climbs at once":  testimage.File("../x", "x"),
		"absolute":        testimage.File("/etc/passwd", "x"),
		"not below":       testimage.File("package", "x"),
		"itself":          testimage.File("package/.", "x"),
		"a whiteout":      testimage.File("package/.wh.bin", "x"),
		"opaque":          testimage.File("package/.wh..wh..opq", ""),
		"a symbolic link": testimage.Symlink("package/x", "/etc/passwd"),
		"a hard link":     testimage.Link("package/x", "package/y"),
		"a device":        {Header: tar.Header{Name: "package/x", Typeflag: tar.TypeBlock}},
		"a backslash":     testimage.File(`package/..\x`, "x"),
		"long":            testimage.File("package/"+strings.Repeat("x", 2000), "x"),
	} {
		if err := pack.repack(bytes.NewReader(npm(t, entry)), io.Discard); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	setuid := testimage.Program("other-name/lib/x", "lib")
	setuid.Mode, setuid.Uid = 0o6755, 1000
	var out bytes.Buffer
	err := pack.repack(bytes.NewReader(npm(t, testimage.Dir("other-name/lib"), setuid, testimage.File("other-name/run", "run"),
		testimage.File("other-name/skip/me", "no"))), &out)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for in := tar.NewReader(&out); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		content, _ := io.ReadAll(in)
		got = append(got, fmt.Sprintf("%s %o %d %s", h.Name, h.Mode, h.Uid, content))
	}
	want := "usr/local/lib/node_modules/p/lib/x 755 0 lib, usr/local/lib/node_modules/p/run 755 0 run"
	if strings.Join(got, ", ") != want {
		t.Errorf("%q", got)
	}
}

func FuzzRepack(f *testing.F) {
	for _, name := range []string{"package/a", "../a", "package/.wh.a", "a", "/a/b", "./p//a/"} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		w.WriteHeader(&tar.Header{Name: name, Size: 1, Mode: 0o755})
		w.Write([]byte("x"))
		w.Close()
		z.Close()
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, tarball []byte) {
		var out bytes.Buffer
		if (repacker{dir: "p"}).repack(bytes.NewReader(tarball), &out) != nil {
			return
		}
		for in := tar.NewReader(&out); ; {
			h, err := in.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(h.Name, modules+"/p/") || strings.Contains(h.Name+"/", "/../") || h.Typeflag != tar.TypeReg || h.Mode&^0o755 != 0 {
				t.Fatalf("%+v", h)
			}
		}
	})
}
