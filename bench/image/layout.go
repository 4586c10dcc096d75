package main

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
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
