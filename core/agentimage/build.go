package agentimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/image/lock"
	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Builder builds images into a cache.
type Builder struct {
	Cache    *image.Cache
	Registry string       // of npm; empty means the public one
	Progress func(string) // told of slow steps, one line each; nil is told nothing

	// bootstrap makes the Debian; tests have a smaller one. Nil means mmdebstrap.
	bootstrap func(ctx context.Context, r Recipe, archive string) error
	pause     time.Duration
}

// Built is an image that is there.
type Built struct {
	*image.Image
	Name  string // with the version as its tag
	Fresh bool   // it was made just now
}

const (
	recipeLabel = "run.voidbox.agent-image.recipe"
	workDir     = "agent-images"
	fetches     = 4 // side by side
)

// Build returns the image of a recipe. One that is in the cache is left as it is, unless again is set: then Debian's packages are
// those of today.
func (b *Builder) Build(ctx context.Context, r Recipe, again bool) (Built, error) {
	if err := r.check(); err != nil {
		return Built{}, err
	}
	key, err := r.key()
	if err != nil {
		return Built{}, err
	}
	built := Built{Name: r.Image() + ":" + r.Version}
	if built.Image = b.find(built.Name, key); built.Image != nil && !again {
		return built, nil
	}
	work := filepath.Join(b.Cache.Dir(), workDir)
	if err := os.MkdirAll(work, 0o755); err != nil {
		return built, err
	}
	unlock, err := lock.Take(ctx, filepath.Join(work, r.Name+".lock"), func() { b.say("waiting for another voidbox, which builds the same image") })
	if err != nil {
		return built, err
	}
	defer unlock()
	if built.Image = b.find(built.Name, key); built.Image != nil && !again {
		return built, nil
	}
	// Who holds the lock may remove what a builder that was killed has left.
	dir := filepath.Join(work, r.Name)
	if err := os.RemoveAll(dir); err != nil {
		return built, err
	}
	defer os.RemoveAll(dir)
	if built.Image, err = b.build(ctx, r, key, dir); err != nil {
		return built, fmt.Errorf("image of %s: %w", r.Title, err)
	}
	built.Fresh = true
	return built, errors.Join(b.Cache.SetImageName(built.Name, built.Image), b.Cache.SetImageName(r.Image(), built.Image))
}

// find returns the image of a name when it was made by the same recipe.
func (b *Builder) find(name, key string) *image.Image {
	found, err := b.Cache.FindImage(name)
	if err != nil || found.Config.Labels[recipeLabel] != key {
		return nil
	}
	if _, err := os.Stat(found.Disk()); err != nil {
		return nil
	}
	return found.Image
}

func (b *Builder) say(format string, args ...any) {
	if b.Progress != nil {
		b.Progress(fmt.Sprintf(format, args...))
	}
}

func (b *Builder) build(ctx context.Context, r Recipe, key, dir string) (*image.Image, error) {
	l, err := newLayout(dir)
	if err != nil {
		return nil, err
	}
	layers, err := b.layers(ctx, r, l)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{
		recipeLabel: key, "org.opencontainers.image.title": r.Title, "org.opencontainers.image.version": r.Version,
		"org.opencontainers.image.licenses": r.Licence,
	}
	if err := l.finish(layers, labels); err != nil {
		return nil, err
	}
	from := source.Source{Kind: source.Layout, Path: dir}
	img, err := b.Cache.Pull(ctx, from)
	if err != nil {
		return nil, err
	}
	// The layout goes; its name in the cache would lead nowhere. The image must have another before.
	if err := b.Cache.SetImageName(r.Image(), img); err != nil {
		return nil, err
	}
	_, err = b.Cache.RemoveImage(ctx, from.String())
	return img, err
}

// layers makes the Debian and fetches the packages, side by side. Each package is a layer of its own.
func (b *Builder) layers(ctx context.Context, r Recipe, l layout) ([]descriptor, error) {
	layers := make([]descriptor, len(r.NPM)+2)
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(fetches)
	work.Go(func() (err error) {
		b.say("making a Debian (%s) of %s", r.Suite, strings.Join(r.Debian, ", "))
		layers[0], err = b.debian(working, r, l)
		return err
	})
	from := registry{base: b.Registry, client: &http.Client{}, pause: b.pause}
	if from.base == "" {
		from.base = npmjs
	}
	if from.pause == 0 {
		from.pause = time.Second
	}
	if n := len(r.NPM); n > 0 {
		b.say("fetching %d package%s of %s %s from %s", n, plural(n), r.Title, r.Version, from.base)
	}
	for i, p := range r.NPM {
		work.Go(func() (err error) {
			layers[i+1], err = fetchLayer(working, from, p, r, l)
			return err
		})
	}
	err := work.Wait()
	if err != nil {
		return nil, err
	}
	layers[len(layers)-1], err = l.layer(links(r.Programs))
	return layers, err
}

func (b *Builder) debian(ctx context.Context, r Recipe, l layout) (descriptor, error) {
	make := b.bootstrap
	if make == nil {
		make = bootstrap
	}
	archive := filepath.Join(l.dir, "debian.tar")
	if err := make(ctx, r, archive); err != nil {
		return descriptor{}, err
	}
	return l.file(archive)
}

func fetchLayer(ctx context.Context, from registry, p Package, r Recipe, l layout) (d descriptor, err error) {
	pack := repacker{dir: p.dir(), omit: r.Omit, programs: map[string]bool{}}
	for _, program := range r.Programs {
		pack.programs[program] = true
	}
	err = from.fetch(ctx, p, func(tarball io.Reader) (err error) {
		d, err = l.layer(func(to io.Writer) error { return pack.repack(tarball, to) })
		return err
	})
	var known *errdef.Error
	if err != nil && !errors.As(err, &known) {
		err = fmt.Errorf("fetch %s: %w", p, err)
	}
	return d, err
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
