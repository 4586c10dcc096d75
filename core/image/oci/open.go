package oci

import (
	"context"
	"fmt"
	"time"

	"github.com/voidbox-run/voidbox/core/image/source"
)

// Options say how images are read.
type Options struct {
	Blobs    *Blobs       // where downloads go; needed for registries
	Progress func(string) // told of slow steps, one line each; may be called from several goroutines; nil is told nothing

	// pause is the first of the growing pauses between attempts; tests have a short one.
	pause time.Duration
}

func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// Open finds an image. Of a registry it reads the manifest and the configuration; layers come when they are opened.
func Open(ctx context.Context, s source.Source, opt Options) (*Image, error) {
	if opt.pause == 0 {
		opt.pause = firstPause
	}
	switch s.Kind {
	case source.Registry:
		return openRegistry(ctx, s.Ref, opt)
	case source.Layout:
		return openLayout(ctx, s.Path, s.Ref)
	case source.Archive:
		return openArchive(s.Path, s.Ref)
	}
	return nil, fmt.Errorf("image %s has no layers", s)
}
