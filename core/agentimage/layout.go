package agentimage

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// layout is an image in the making, as a directory in the OCI image layout (image-spec, image-layout.md).
type layout struct{ dir string }

func newLayout(dir string) (layout, error) {
	l := layout{dir}
	if err := os.MkdirAll(l.blobs(), 0o755); err != nil {
		return l, err
	}
	return l, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
}

func (l layout) blobs() string { return filepath.Join(l.dir, "blobs", "sha256") }

// descriptor names a blob.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// layer makes a blob of what write writes, which is thrown away where it fails.
func (l layout) layer(write func(io.Writer) error) (d descriptor, err error) {
	f, err := os.CreateTemp(l.dir, "layer-")
	if err != nil {
		return d, err
	}
	defer os.Remove(f.Name()) // once it is a blob, there is nothing under this name
	sum := sha256.New()
	err = write(io.MultiWriter(f, sum))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return d, err
	}
	return l.adopt(f.Name(), typeLayer, sum.Sum(nil))
}

// file makes a blob of a file, which is moved.
func (l layout) file(name string) (d descriptor, err error) {
	f, err := os.Open(name)
	if err != nil {
		return d, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return d, err
	}
	return l.adopt(name, typeLayer, sum.Sum(nil))
}

func (l layout) adopt(name, kind string, sum []byte) (d descriptor, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return d, err
	}
	d = descriptor{MediaType: kind, Digest: "sha256:" + hex.EncodeToString(sum), Size: info.Size()}
	return d, os.Rename(name, filepath.Join(l.blobs(), hex.EncodeToString(sum)))
}

func (l layout) document(kind string, v any) (d descriptor, err error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return d, err
	}
	sum := sha256.Sum256(raw)
	d = descriptor{MediaType: kind, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(raw))}
	return d, os.WriteFile(filepath.Join(l.blobs(), hex.EncodeToString(sum[:])), raw, 0o644)
}

// searchPath is that of Debian's users.
const searchPath = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"

// finish writes configuration, manifest and index. Layers are not packed, so that their digests are their diff IDs.
func (l layout) finish(layers []descriptor, labels map[string]string) error {
	var diffs []string
	for _, d := range layers {
		diffs = append(diffs, d.Digest)
	}
	config, err := l.document(typeConfig, map[string]any{
		"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
		// The agent comes by itself, once the machine is up; until then there is nothing to do.
		"config": map[string]any{"Env": []string{searchPath}, "Cmd": []string{"sleep", "infinity"}, "Labels": labels},
	})
	if err != nil {
		return err
	}
	manifest, err := l.document(typeManifest, map[string]any{"schemaVersion": 2, "mediaType": typeManifest, "config": config, "layers": layers})
	if err != nil {
		return err
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, "index.json"), index, 0o644)
}

// links writes a layer that has programs in the search path.
func links(programs map[string]string) func(io.Writer) error {
	return func(to io.Writer) error {
		out := tar.NewWriter(to)
		for _, name := range slices.Sorted(maps.Keys(programs)) {
			head := &tar.Header{Name: path.Join("usr/local/bin", name), Linkname: path.Join("/", modules, programs[name]),
				Typeflag: tar.TypeSymlink, Mode: 0o777, ModTime: time.Unix(0, 0)}
			if err := out.WriteHeader(head); err != nil {
				return fmt.Errorf("link %s: %w", name, err)
			}
		}
		return out.Close()
	}
}
