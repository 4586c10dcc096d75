package oci

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// openArchive reads what `docker save` writes. Its manifest is made up by whoever reads it, so that it counts for nothing here.
func openArchive(path, ref string) (*Image, error) {
	var tag *name.Tag
	if ref != "" {
		t, err := name.NewTag(ref)
		if err != nil {
			return nil, errdef.New(errdef.ErrInvalid, "%q is not the name of an image in an archive: %w", ref, err).
				WithRemedy("write docker-archive:%s:NAME:TAG", path)
		}
		tag = &t
	}
	opener := func() (io.ReadCloser, error) { return os.Open(path) }
	archive, err := tarball.Image(opener, tag)
	if err != nil {
		return nil, archiveError(path, opener, err)
	}
	raw, err := archive.RawConfigFile()
	if err != nil {
		return nil, damaged("its configuration: %w", err)
	}
	if len(raw) > maxConfig {
		return nil, damaged("its configuration has %d bytes, more than %d", len(raw), maxConfig)
	}
	img, err := fromConfig(raw, fmt.Sprintf("sha256:%x", sum(raw)))
	if err != nil {
		return nil, err
	}
	layers, err := archive.Layers()
	if err != nil {
		return nil, damaged("its layers: %w", err)
	}
	if len(layers) != len(img.Layers) {
		return nil, damaged("its configuration names %d layers, its manifest %d", len(img.Layers), len(layers))
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		img.Layers[i].Size = info.Size() // all that is known without reading it; bounds what it may unpack to
		img.Layers[i].open = func(context.Context) (io.ReadCloser, error) { return l.Uncompressed() }
	}
	return img, nil
}

// archiveError names what there is to choose from, where that is the question.
func archiveError(path string, opener tarball.Opener, err error) error {
	manifest, listErr := tarball.LoadManifest(opener)
	if listErr != nil {
		return errdef.New(errdef.ErrInvalid, "%s is not an archive of docker save: %w", path, err).
			WithRemedy("name an archive with a manifest.json, or unpack it and name the directory")
	}
	var tags []string
	for _, m := range manifest {
		tags = append(tags, m.RepoTags...)
	}
	if len(tags) == 0 {
		return damaged("%w", err)
	}
	return errdef.New(errdef.ErrInvalid, "%s: %w; it has: %v", path, err, tags).WithRemedy("choose one: docker-archive:%s:%s", path, tags[0])
}
