package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Image is an image whose content was not read yet.
type Image struct {
	// ID is the digest of the configuration, which names every layer's content: two images of one ID are the same.
	ID string
	// Digest is that of the manifest; empty for an archive, which has none.
	Digest string
	Config v1.Config
	// Created is when it was made, for those who say so.
	Created string
	Layers  []Layer // from the bottom up
}

// Layer is one layer.
type Layer struct {
	Digest string // of the packed bytes; empty where they are not known before they are read
	DiffID string // of the unpacked bytes
	Size   int64  // packed
	open   func(ctx context.Context) (io.ReadCloser, error)
}

// Open returns the layer as it is kept, packed or not. A download comes first.
func (l Layer) Open(ctx context.Context) (io.ReadCloser, error) { return l.open(ctx) }

// Platform of every guest.
const (
	guestOS   = "linux"
	guestArch = "amd64"
)

// Bounds of what an image says of itself.
const (
	maxManifest = 4 << 20 // as registries have it
	maxConfig   = 8 << 20
	maxLayers   = 512
	maxNesting  = 3 // of indexes
)

// store is a place that has images.
type store interface {
	// manifest returns the bytes that a digest names, or that the image as a whole is, for an empty one.
	manifest(ctx context.Context, digest string) (content []byte, err error)
	// blob opens a configuration.
	config(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	// layer opens a layer.
	layer(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
}

func damaged(format string, args ...any) error {
	return errdef.New(errdef.ErrInvalid, "the image is damaged: "+format, args...).WithReason("image_damaged")
}

func unsupported(format string, args ...any) *errdef.Error {
	return errdef.New(errdef.ErrUnsupported, format, args...).WithReason("image_unsupported")
}

// load finds the image for the guest's platform in a store.
func load(ctx context.Context, s store, digest string) (*Image, error) {
	for range maxNesting {
		raw, err := s.manifest(ctx, digest)
		if err != nil {
			return nil, err
		}
		got := fmt.Sprintf("sha256:%x", sum(raw))
		if digest != "" && got != digest {
			return nil, damaged("the manifest %s has the digest %s", digest, got)
		}
		kind, err := mediaType(raw)
		if err != nil {
			return nil, err
		}
		switch {
		case kind.IsIndex():
			if digest, err = choose(raw); err != nil {
				return nil, err
			}
		case kind.IsImage():
			return fromManifest(ctx, s, raw, got)
		default:
			return nil, unsupported("it is of the type %q, which is not that of an image", kind).
				WithRemedy("name an image in the OCI format or Docker's (manifest version 2, schema 2)")
		}
	}
	return nil, damaged("an index in an index in an index")
}

// mediaType tells an index from a manifest, whatever a registry calls it.
func mediaType(raw []byte) (types.MediaType, error) {
	var head struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return "", damaged("its manifest is not JSON: %w", err)
	}
	switch {
	case head.MediaType != "":
		return head.MediaType, nil
	case head.SchemaVersion == 2 && head.Manifests != nil:
		return types.OCIImageIndex, nil
	case head.SchemaVersion == 2 && head.Config != nil:
		return types.OCIManifestSchema1, nil
	}
	return types.MediaType(fmt.Sprintf("schema version %d", head.SchemaVersion)), nil
}

// choose returns the digest of the guest's platform.
func choose(raw []byte) (string, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return "", damaged("its index: %w", err)
	}
	var others []string
	for _, m := range index.Manifests {
		switch p := m.Platform; {
		case p == nil && len(index.Manifests) == 1, p != nil && p.OS == guestOS && p.Architecture == guestArch:
			return m.Digest.String(), nil
		case p != nil && p.OS != "unknown":
			others = append(others, p.String())
		}
	}
	return "", unsupported("it is not made for %s/%s, only for: %s", guestOS, guestArch, orNone(strings.Join(others, ", ")))
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func fromManifest(ctx context.Context, s store, raw []byte, digest string) (*Image, error) {
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, damaged("its manifest: %w", err)
	}
	if !m.Config.MediaType.IsConfig() {
		return nil, unsupported("its configuration is of the type %q: it is not an image that can be run", m.Config.MediaType)
	}
	config, err := readConfig(ctx, s, m.Config)
	if err != nil {
		return nil, err
	}
	img, err := fromConfig(config, m.Config.Digest.String())
	if err != nil {
		return nil, err
	}
	img.Digest = digest
	if len(img.Layers) != len(m.Layers) {
		return nil, damaged("its configuration names %d layers, its manifest %d", len(img.Layers), len(m.Layers))
	}
	for i, d := range m.Layers {
		if err := checkLayer(d); err != nil {
			return nil, err
		}
		l := &img.Layers[i]
		l.Digest, l.Size = d.Digest.String(), d.Size
		l.open = func(ctx context.Context) (io.ReadCloser, error) { return s.layer(ctx, d) }
	}
	return img, nil
}

func checkLayer(d v1.Descriptor) error {
	switch d.MediaType {
	case types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer, types.DockerLayer, types.DockerUncompressedLayer, dockerZstd:
	case types.OCIRestrictedLayer, types.DockerForeignLayer, types.OCIUncompressedRestrictedLayer:
		return unsupported("its layer %s lies outside the registry, as those of Windows do", d.Digest)
	default:
		return unsupported("its layer %s is of the unknown type %q", d.Digest, d.MediaType).
			WithRemedy("known are tar archives, plain or packed with gzip or zstd")
	}
	if d.Size < 0 {
		return damaged("its layer %s has %d bytes", d.Digest, d.Size)
	}
	return checkAlgorithm(d.Digest)
}

// dockerZstd is what some tools write though Docker has no such type.
const dockerZstd types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"

func checkAlgorithm(h v1.Hash) error {
	if h.Algorithm != "sha256" || len(h.Hex) != 64 {
		return unsupported("the digest %s is not of the kind sha256", h)
	}
	return nil
}

func readConfig(ctx context.Context, s store, d v1.Descriptor) ([]byte, error) {
	if err := checkAlgorithm(d.Digest); err != nil {
		return nil, err
	}
	if d.Size > maxConfig {
		return nil, damaged("its configuration has %d bytes, more than %d", d.Size, maxConfig)
	}
	r, err := s.config(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := readAtMost(r, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	if got := fmt.Sprintf("sha256:%x", sum(raw)); got != d.Digest.String() {
		return nil, damaged("its configuration has the digest %s instead of %s", got, d.Digest)
	}
	return raw, nil
}

// fromConfig reads a configuration whose digest is right.
func fromConfig(raw []byte, id string) (*Image, error) {
	c, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return nil, damaged("its configuration: %w", err)
	}
	if os, arch := c.OS, c.Architecture; os != "" && os != guestOS || arch != "" && arch != guestArch {
		return nil, unsupported("it is made for %s/%s, and the guest is %s/%s", os, arch, guestOS, guestArch)
	}
	if n := len(c.RootFS.DiffIDs); n > maxLayers {
		return nil, unsupported("it has %d layers, more than %d", n, maxLayers)
	}
	img := &Image{ID: id, Config: c.Config}
	if !c.Created.IsZero() {
		img.Created = c.Created.UTC().Format("2006-01-02T15:04:05Z")
	}
	for _, diffID := range c.RootFS.DiffIDs {
		if err := checkAlgorithm(diffID); err != nil {
			return nil, err
		}
		img.Layers = append(img.Layers, Layer{DiffID: diffID.String()})
	}
	return img, nil
}

// readAtMost reads what may not be longer than limit.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = errors.New("it does not end")
	}
	return raw, err
}
