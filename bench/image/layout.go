package main

import (
	"archive/tar"
	"context"
	"errors"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/voidbox-run/voidbox/core/image"
)

// packing is how a layer is packed.
type packing struct {
	name, title string
	opts        []tarball.LayerOption
}

var packings = []packing{
	{"gzip", "one layer of gzip", nil},
	{"zstd", "one layer of zstd", []tarball.LayerOption{tarball.WithCompression("zstd"), tarball.WithMediaType(types.OCILayerZStd)}},
}

// writeBusybox makes an image that has in it what the built-in system has.
func writeBusybox(ctx context.Context, cache *image.Cache, dir string) error {
	busybox, err := cache.Busybox(ctx)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	archive, err := os.Create(dir + ".tar")
	if err != nil {
		return err
	}
	defer archive.Close()
	w := tar.NewWriter(archive)
	err = w.WriteHeader(&tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.WriteHeader(&tar.Header{Name: "bin/sleep", Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777})
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	return writeLayout(archive.Name(), dir, packings[0])
}

// writeLayout makes an image of one layer, which leaves nothing to be done side by side.
func writeLayout(archive, dir string, p packing) error {
	layer, err := tarball.LayerFromFile(archive, p.opts...)
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config = "linux", "amd64", v1.Config{Cmd: []string{"sleep", "infinity"}}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return path.AppendImage(mutate.ConfigMediaType(img, types.OCIConfigJSON))
}
