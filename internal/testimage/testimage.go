// Package testimage makes images for tests, in the formats that users have them in.
package testimage

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Entry is an entry of a layer. Its Size is that of Content.
type Entry struct {
	tar.Header
	Content string
}

// Time is when everything in a test's image was changed last.
var Time = time.Unix(1_700_000_000, 0)

// File is a regular file.
func File(name, content string) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, ModTime: Time}, content}
}

// Program is a file that can be run.
func Program(name, content string) Entry {
	e := File(name, content)
	e.Mode = 0o755
	return e
}

// Dir is a directory.
func Dir(name string) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755, ModTime: Time}, ""}
}

// Symlink is a symbolic link.
func Symlink(name, target string) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777, ModTime: Time}, ""}
}

// Link is a hard link.
func Link(name, target string) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target, ModTime: Time}, ""}
}

// Tar makes a layer's archive.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.Content))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.Content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Layer makes a layer of an archive, packed with gzip.
func Layer(t testing.TB, archive []byte, opts ...tarball.LayerOption) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Raw is a layer of bytes as they are, whatever they are.
func Raw(content []byte, mediaType string) v1.Layer {
	return static.NewLayer(content, types.MediaType(mediaType))
}

// Image makes an image for the guest's platform.
func Image(t testing.TB, config v1.Config, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
	if err == nil {
		img, err = mutate.ConfigFile(img, configFile(t, img, config))
	}
	if err != nil {
		t.Fatal(err)
	}
	return mutate.ConfigMediaType(img, types.OCIConfigJSON)
}

func configFile(t testing.TB, img v1.Image, config v1.Config) *v1.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Config, c.Created = "linux", "amd64", config, v1.Time{Time: Time}
	return c
}

// Layout writes images, by tag, as an OCI image layout, and returns the directory.
func Layout(t testing.TB, images map[string]v1.Image) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for tag, img := range images {
		if err := path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Busybox is a layer with busybox, a static program at path, and links to it by the names of commands.
func Busybox(t testing.TB, path string) v1.Layer {
	t.Helper()
	entries := []Entry{Dir("bin"), Program("bin/busybox", string(Read(t, path)))}
	for _, applet := range []string{"sh", "id", "cat", "ls", "pwd", "echo", "sleep", "hostname", "stat", "touch", "grep", "dd", "df", "mkdir", "rm"} {
		entries = append(entries, Symlink("bin/"+applet, "busybox"))
	}
	return Layer(t, Tar(t, entries...))
}

// Open reads the only image of a layout.
func Open(t testing.TB, dir string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%s: %v", dir, err)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Read returns a file's content.
func Read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
