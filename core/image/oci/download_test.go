package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/voidbox-run/voidbox/core/image/layer"
	"github.com/voidbox-run/voidbox/internal/testimage"
)

// pull downloads all layers of an image.
func pull(ctx context.Context, t *testing.T, name string, opt Options) ([]string, error) {
	t.Helper()
	img, err := Open(ctx, parse(t, name), opt)
	if err != nil {
		t.Fatal(err)
	}
	return layers(ctx, img)
}

// cutter lets at most n bytes of each blob through at a time, whatever was asked for from wherever on.
type cutter struct {
	n      int
	ranges bool         // whether it knows about them
	asked  atomic.Int64 // requests for less than the whole
}

func (c *cutter) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
		next.ServeHTTP(w, r)
		return
	}
	whole := &recorder{header: http.Header{}}
	asked := r.Header.Get("Range")
	r.Header.Del("Range")
	next.ServeHTTP(whole, r)
	body, offset := whole.body.Bytes(), 0
	if asked != "" && c.ranges {
		c.asked.Add(1)
		offset, _ = strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(asked, "bytes="), "-"))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, len(body)-1, len(body)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)-offset))
	if offset > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(body[offset:min(len(body), offset+c.n)]) // the server hangs up where this is less than it said
}

type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *recorder) WriteHeader(int)             {}

func TestDownloadThatBreaksOffIsResumed(t *testing.T) {
	registry := testimage.NewRegistry(t)
	img := image(t)
	name := registry.Push(t, "some/image:v1", img)
	c := &cutter{n: 100_000, ranges: true}
	registry.Misbehave(c.serve)
	content, err := pull(t.Context(), t, name, options(t))
	if err != nil || content[1] != packed(t, img)[1] {
		t.Fatal(err)
	}
	if n := c.asked.Load(); n < 3 {
		t.Errorf("%d resumed requests", n)
	}
}

func TestResumeWithoutRanges(t *testing.T) {
	registry := testimage.NewRegistry(t)
	img := image(t)
	name := registry.Push(t, "some/image:v1", img)
	c := &cutter{n: 100_000}
	registry.Misbehave(c.serve)
	opt := options(t)
	if _, err := pull(t.Context(), t, name, opt); err == nil || !strings.Contains(err.Error(), "breaks off") {
		t.Fatalf("a registry that never gets further: %v", err)
	}
	registry.Misbehave(nil) // knows ranges or not, it must come to the right end
	if content, err := pull(t.Context(), t, name, opt); err != nil || content[1] != packed(t, img)[1] {
		t.Fatal(err)
	}
}

func TestResumeAfterAnotherProcess(t *testing.T) {
	registry := testimage.NewRegistry(t)
	img := image(t)
	name := registry.Push(t, "some/image:v1", img)
	want := packed(t, img)[1]
	list, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := list[1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	for what, left := range map[string]string{
		"the beginning": want[:len(want)/2],
		"something bad": strings.Repeat("x", len(want)/2),
		"all of it":     want,
		"too much":      want + "x",
	} {
		opt := options(t)
		part := filepath.Join(opt.Blobs.Dir, "sha256", digest.Hex+partSuffix)
		if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(part, []byte(left), 0o644); err != nil {
			t.Fatal(err)
		}
		registry.Misbehave((&cutter{n: 1 << 30, ranges: true}).serve)
		if content, err := pull(t.Context(), t, name, opt); err != nil || content[1] != want {
			t.Errorf("%s was left: %v", what, err)
		}
		if _, err := os.Stat(part); err == nil {
			t.Errorf("%s: the part is still there", what)
		}
	}
}

func TestWrongContent(t *testing.T) {
	registry := testimage.NewRegistry(t)
	img := image(t)
	name := registry.Push(t, "some/image:v1", img)
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	lie := func(part string, except string, change func([]byte) []byte) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if !strings.Contains(r.URL.Path, part) || except != "" && strings.Contains(r.URL.Path, except) {
				next.ServeHTTP(w, r)
				return
			}
			whole := &recorder{header: http.Header{}}
			next.ServeHTTP(whole, r)
			w.Header().Set("Content-Type", whole.header.Get("Content-Type"))
			_, _ = w.Write(change(whole.body.Bytes()))
		}
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	t.Run("layer", func(t *testing.T) {
		registry.Misbehave(lie("/blobs/", config.Hex, flip))
		opt := options(t)
		_, err := pull(t.Context(), t, name, opt)
		var digest *layer.DigestError
		if !errors.As(err, &digest) {
			t.Fatalf("error %v", err)
		}
		if left, _ := filepath.Glob(filepath.Join(opt.Blobs.Dir, "sha256", "*.part")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("endless layer", func(t *testing.T) {
		registry.Misbehave(lie("/blobs/", config.Hex, func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) }))
		if _, err := pull(t.Context(), t, name, options(t)); !errors.Is(err, errEndless) {
			t.Fatalf("error %v", err)
		}
	})
	for what, change := range map[string]func([]byte) []byte{
		"configuration": flip,
		"long":          func(b []byte) []byte { return append(b, make([]byte, maxConfig+1)...) },
	} {
		t.Run(what, func(t *testing.T) {
			registry.Misbehave(lie("/blobs/"+config.String(), "", change))
			if _, err := Open(t.Context(), parse(t, name), options(t)); err == nil {
				t.Fatal("no error")
			}
		})
	}
	t.Run("manifest by digest", func(t *testing.T) {
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		registry.Misbehave(lie("/manifests/", "", func(b []byte) []byte { return append(b, ' ') }))
		if _, err := Open(t.Context(), parse(t, registry.Host+"/some/image@"+digest.String()), options(t)); err == nil || !strings.Contains(err.Error(), "has the digest") {
			t.Fatalf("error %v", err)
		}
	})
	t.Run("endless manifest", func(t *testing.T) {
		registry.Misbehave(lie("/manifests/", "", func([]byte) []byte { return make([]byte, maxManifest+1) }))
		if _, err := Open(t.Context(), parse(t, name), options(t)); err == nil || !strings.Contains(err.Error(), "does not end") {
			t.Fatalf("error %v", err)
		}
	})
}

func TestTwoDownloadsOfOneLayer(t *testing.T) {
	registry := testimage.NewRegistry(t)
	img := image(t)
	name := registry.Push(t, "some/image:v1", img)
	opt := options(t)
	var both sync.WaitGroup
	for range 4 {
		both.Go(func() {
			if content, err := pull(t.Context(), t, name, opt); err != nil || content[1] != packed(t, img)[1] {
				t.Error(err)
			}
		})
	}
	both.Wait()
	list, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		digest, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if n := registry.Seen("/blobs/" + digest.String()); n != 1 {
			t.Errorf("layer %s was downloaded %d times", digest, n)
		}
	}
}

func TestCanceledDownload(t *testing.T) {
	registry := testimage.NewRegistry(t)
	name := registry.Push(t, "some/image:v1", image(t))
	ctx, cancel := context.WithCancel(t.Context())
	img, err := Open(ctx, parse(t, name), options(t))
	if err != nil {
		t.Fatal(err)
	}
	registry.Misbehave(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Length", "1000000")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	if _, err := layers(ctx, img); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestLayouts(t *testing.T) {
	one, other := image(t), testimage.Image(t, v1.Config{}, testimage.Layer(t, testimage.Tar(t)))
	dir := testimage.Layout(t, map[string]v1.Image{"one": one, "other": other})
	for text, says := range map[string]string{
		"oci:" + dir:            "several images",
		"oci:" + dir + ":third": `no image "third"`,
	} {
		if _, err := Open(t.Context(), parse(t, text), options(t)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
	digest, err := one.Digest()
	if err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "blobs", "sha256", digest.Hex)
	if err := os.WriteFile(manifest, append(testimage.Read(t, manifest), ' '), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), parse(t, "oci:"+dir+":one"), options(t)); err == nil || !strings.Contains(err.Error(), "has the digest") {
		t.Errorf("changed manifest: %v", err)
	}
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", manifest); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), parse(t, "oci:"+dir+":one"), options(t)); err == nil || strings.Contains(err.Error(), "root:") {
		t.Errorf("a blob that leads out of the layout: %v", err)
	}
}
