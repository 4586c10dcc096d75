package oci

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/internal/testimage"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(t *testing.T) Options {
	return Options{Blobs: &Blobs{Dir: t.TempDir()}, Progress: func(line string) { t.Log(line) }, pause: time.Millisecond}
}

// large is content that does not pack well, so that its layer can be cut.
func large() string {
	var b strings.Builder
	for i := range uint64(300_000) {
		x := i * 0x9e3779b97f4a7c15
		b.Write([]byte{byte(x >> 56), byte(x >> 40), byte(x >> 24), byte(x >> 8)})
	}
	return b.String()
}

func image(t *testing.T) v1.Image {
	t.Helper()
	return testimage.Image(t, v1.Config{Entrypoint: []string{"/bin/x"}, Env: []string{"A=b"}},
		testimage.Layer(t, testimage.Tar(t, testimage.File("small", "x"))),
		testimage.Layer(t, testimage.Tar(t, testimage.File("large", large()))))
}

func parse(t *testing.T, text string) source.Source {
	t.Helper()
	s, err := source.Parse(text, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// layers opens all layers of an image and reads them.
func layers(ctx context.Context, img *Image) ([]string, error) {
	var all []string
	for _, l := range img.Layers {
		r, err := l.Open(ctx)
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		all = append(all, string(content))
	}
	return all, nil
}

func packed(t *testing.T, img v1.Image) []string {
	t.Helper()
	var all []string
	list, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		all = append(all, string(content))
	}
	return all
}

func TestEveryPlace(t *testing.T) {
	img := image(t)
	id, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	registry := testimage.NewRegistry(t)
	tagged := registry.Push(t, "some/image:v1", img)
	dir := testimage.Layout(t, map[string]v1.Image{"v1": img})
	archive := filepath.Join(t.TempDir(), "image.tar")
	tag, err := name.NewTag("some/image:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		tagged, registry.Host + "/some/image@" + digest.String(), "oci:" + dir, "oci:" + dir + ":v1", "oci:" + dir + "@" + digest.String(), dir,
		"docker-archive:" + archive, "docker-archive:" + archive + ":some/image:v1", archive,
	} {
		t.Run(text, func(t *testing.T) {
			got, err := Open(t.Context(), parse(t, text), options(t))
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != id.String() || got.Config.Entrypoint[0] != "/bin/x" || got.Config.Env[0] != "A=b" {
				t.Errorf("%+v", got)
			}
			content, err := layers(t.Context(), got)
			if err != nil || len(content) != 2 {
				t.Fatalf("%d layers, %v", len(content), err)
			}
			if got.Digest == "" {
				return // an archive, whose layers come unpacked
			}
			if want := packed(t, img); content[0] != want[0] || content[1] != want[1] {
				t.Error("another content")
			}
		})
	}
}

func TestPlatformIsChosen(t *testing.T) {
	index := func(arches ...string) v1.ImageIndex {
		idx := v1.ImageIndex(empty.Index)
		for _, arch := range arches {
			img := image(t)
			c, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			c = c.DeepCopy()
			c.Architecture = arch
			if img, err = mutate.ConfigFile(img, c); err != nil {
				t.Fatal(err)
			}
			idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
		}
		return idx
	}
	registry := testimage.NewRegistry(t)
	if _, err := Open(t.Context(), parse(t, registry.Push(t, "multi:1", index("arm64", "amd64", "s390x"))), options(t)); err != nil {
		t.Error(err)
	}
	_, err := Open(t.Context(), parse(t, registry.Push(t, "multi:2", index("arm64", "s390x"))), options(t))
	if !errors.Is(err, errdef.ErrUnsupported) || !strings.Contains(err.Error(), "only for: linux/arm64, linux/s390x") {
		t.Errorf("no platform of ours: %v", err)
	}
}

// answer misbehaves with a status for paths with that part in them.
func answer(part string, status int, header ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.Contains(r.URL.Path, part) {
			next.ServeHTTP(w, r)
			return
		}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

func TestRefusals(t *testing.T) {
	registry := testimage.NewRegistry(t)
	name := registry.Push(t, "some/image:v1", image(t))
	for what, c := range map[string]struct {
		fault  func(http.ResponseWriter, *http.Request, http.Handler)
		kind   error
		reason string
		remedy string
	}{
		"401":          {answer("/v2/", http.StatusUnauthorized, "WWW-Authenticate", `Basic realm="x"`), errdef.ErrUnauthenticated, "registry_refuses", "docker login " + registry.Host},
		"403":          {answer("/manifests/", http.StatusForbidden), errdef.ErrUnauthenticated, "registry_refuses", "docker login"},
		"404":          {answer("/manifests/", http.StatusNotFound), errdef.ErrNotFound, "image_not_found", "tag"},
		"404 of layer": {answer("/blobs/", http.StatusNotFound), errdef.ErrNotFound, "image_not_found", "tag"},
		"429 for ever": {answer("/manifests/", http.StatusTooManyRequests), errdef.ErrUnavailable, "registry_limits", "log in"},
		"429 for long": {answer("/manifests/", http.StatusTooManyRequests, "Retry-After", "86400"), errdef.ErrUnavailable, "registry_limits", "log in"},
		"500 for ever": {answer("/manifests/", http.StatusInternalServerError), errdef.ErrUnavailable, "registry_failed", "run it again"},
	} {
		t.Run(what, func(t *testing.T) {
			registry.Misbehave(c.fault)
			defer registry.Misbehave(nil)
			_, err := Open(t.Context(), parse(t, name), options(t))
			var e *errdef.Error
			if !errors.As(err, &e) || !errors.Is(err, c.kind) || e.Reason != c.reason || !strings.Contains(errdef.Remedy(err), c.remedy) {
				t.Fatalf("error %v; remedy %s", err, errdef.Remedy(err))
			}
			t.Logf("%v; remedy: %s", err, errdef.Remedy(err))
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		_, err := Open(t.Context(), parse(t, "127.0.0.1:1/some/image:v1"), options(t))
		if !errors.Is(err, errdef.ErrUnavailable) || errdef.Remedy(err) == "" {
			t.Errorf("error %v", err)
		}
	})
}

// passingTrouble gives the first n requests of a kind a status.
func passingTrouble(part string, n, status int, header ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	bad := answer(part, status, header...)
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, part) {
			select {
			case <-left:
				bad(w, r, next)
				return
			default:
			}
		}
		next.ServeHTTP(w, r)
	}
}

func TestPassingTroubleIsSatOut(t *testing.T) {
	registry := testimage.NewRegistry(t)
	img := image(t)
	name := registry.Push(t, "some/image:v1", img)
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		for _, part := range []string{"/manifests/", "/blobs/"} {
			registry.Misbehave(passingTrouble(part, maxAttempts-1, status, "Retry-After", "0"))
			got, err := Open(t.Context(), parse(t, name), options(t))
			if err != nil {
				t.Errorf("%d of %s: %v", status, part, err)
				continue
			}
			if content, err := layers(t.Context(), got); err != nil || content[1] != packed(t, img)[1] {
				t.Errorf("%d of %s: %v", status, part, err)
			}
		}
	}
}

func TestCredentials(t *testing.T) {
	registry := testimage.NewRegistry(t)
	name := registry.Push(t, "some/image:v1", image(t))
	registry.Misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "secret" {
			answer("/v2/", http.StatusUnauthorized, "WWW-Authenticate", `Basic realm="x"`)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
	const auth = `{"auths": {"%HOST%": {"auth": "bWU6c2VjcmV0"}}}` // me:secret
	config := strings.ReplaceAll(auth, "%HOST%", registry.Host)
	t.Run("environment", func(t *testing.T) {
		t.Setenv("DOCKER_AUTH_CONFIG", config)
		if _, err := Open(t.Context(), parse(t, name), options(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		t.Setenv("DOCKER_CONFIG", dir)
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), parse(t, name), options(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("broken", func(t *testing.T) {
		t.Setenv("DOCKER_AUTH_CONFIG", `{"auths": {"x": {"auth": "secret`)
		if _, err := Open(t.Context(), parse(t, name), options(t)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v", err)
		}
	})
}

func TestUnknownTypes(t *testing.T) {
	registry := testimage.NewRegistry(t)
	for kind, says := range map[string]string{
		"application/vnd.oci.image.layer.v1.tar+lz4":                   "unknown type",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":    "outside the registry",
		"application/vnd.oci.image.layer.v1.tar+gzip+encrypted":        "unknown type",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "outside the registry",
	} {
		img := testimage.Image(t, v1.Config{}, testimage.Raw([]byte("x"), kind))
		_, err := Open(t.Context(), parse(t, registry.Push(t, "odd:1", img)), options(t))
		if !errors.Is(err, errdef.ErrUnsupported) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	registry.Misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			_, _ = io.WriteString(w, `{"schemaVersion": 1, "name": "old"}`)
			return
		}
		next.ServeHTTP(w, r)
	})
	if _, err := Open(t.Context(), parse(t, registry.Host+"/old:1"), options(t)); !errors.Is(err, errdef.ErrUnsupported) {
		t.Errorf("schema version 1: %v", err)
	}
}
