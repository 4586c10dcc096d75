package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func sum(b []byte) [sha256.Size]byte { return sha256.Sum256(b) }

// layout is a directory in the OCI image layout (image-spec, image-layout.md).
type layout struct {
	dir string
	ref string
}

// refName is the annotation by which an index names its images.
const refName = "org.opencontainers.image.ref.name"

// openLayout loads the image that ref names: a tag, a digest, or the only one.
func openLayout(ctx context.Context, dir, ref string) (*Image, error) {
	return load(ctx, &layout{dir: dir, ref: ref}, "")
}

func (l *layout) manifest(_ context.Context, digest string) ([]byte, error) {
	if digest == "" {
		d, err := l.pick()
		if err != nil {
			return nil, err
		}
		digest = d
	}
	f, err := l.open(digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := readAtMost(f, maxManifest)
	if err != nil {
		return nil, err
	}
	if got := fmt.Sprintf("sha256:%x", sum(raw)); got != digest {
		return nil, damaged("the manifest %s has the digest %s", digest, got)
	}
	return raw, nil
}

// pick returns the digest that index.json gives the wanted image.
func (l *layout) pick() (string, error) {
	f, err := os.OpenInRoot(l.dir, "index.json")
	if err != nil {
		return "", damaged("the layout has no index.json: %w", err)
	}
	defer f.Close()
	raw, err := readAtMost(f, maxManifest)
	if err != nil {
		return "", err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return "", damaged("its index.json: %w", err)
	}
	var names []string
	for _, m := range index.Manifests {
		if name := m.Annotations[refName]; l.ref != "" && (name == l.ref || m.Digest.String() == l.ref) {
			return m.Digest.String(), nil
		} else if name != "" {
			names = append(names, name)
		} else {
			names = append(names, m.Digest.String())
		}
	}
	switch {
	case l.ref != "":
		return "", errdef.New(errdef.ErrNotFound, "the layout has no image %q; it has: %s", l.ref, orNone(strings.Join(names, ", ")))
	case len(names) == 1:
		return index.Manifests[0].Digest.String(), nil
	case len(names) == 0:
		return "", damaged("the layout is empty")
	}
	// Several manifests that differ in their platforms only are one image, as some tools write it.
	if digest, err := choose(raw); err == nil && samePlatformOnce(index) {
		return digest, nil
	}
	return "", errdef.New(errdef.ErrInvalid, "the layout has several images: %s", strings.Join(names, ", ")).
		WithRemedy("choose one: oci:%s:%s", l.dir, names[0])
}

func samePlatformOnce(index *v1.IndexManifest) bool {
	n := 0
	for _, m := range index.Manifests {
		if m.Platform == nil {
			return false
		}
		if m.Platform.OS == guestOS && m.Platform.Architecture == guestArch {
			n++
		}
	}
	return n == 1
}

func (l *layout) open(digest string) (io.ReadCloser, error) {
	h, err := v1.NewHash(digest)
	if err == nil {
		err = checkAlgorithm(h)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenInRoot(l.dir, filepath.Join("blobs", h.Algorithm, h.Hex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged("the layout lacks its blob %s", digest)
	}
	return f, err
}

func (l *layout) config(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return l.open(d.Digest.String())
}

func (l *layout) layer(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return l.open(d.Digest.String())
}
