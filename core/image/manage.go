package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/core/image/lock"
	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Listed is an image of the cache with the names that lead to it.
type Listed struct {
	*Image
	Names []string  `json:"names"`
	Built time.Time `json:"built"`
}

// Images lists the images of the cache by name; those without one come last.
func (c *Cache) Images() ([]Listed, error) {
	names, err := c.names()
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob(filepath.Join(c.dir, imageKind, "*", recordName))
	if err != nil {
		return nil, err
	}
	var list []Listed
	for _, record := range dirs {
		if strings.HasPrefix(filepath.Base(filepath.Dir(record)), ".") {
			continue // in the making
		}
		img, err := readRecord(filepath.Dir(record))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed just now
		}
		if err != nil {
			return nil, err
		}
		l := Listed{Image: img, Names: []string{}}
		if info, err := os.Stat(record); err == nil {
			l.Built = info.ModTime()
		}
		for _, n := range names {
			if n.ID == img.ID {
				l.Names = append(l.Names, n.Name)
			}
		}
		list = append(list, l)
	}
	sort.SliceStable(list, func(i, j int) bool { return sortName(list[i]) < sortName(list[j]) })
	return list, nil
}

func sortName(l Listed) string {
	if len(l.Names) == 0 {
		return "\xff" + l.ID
	}
	return l.Names[0]
}

// minPrefix is how much of an ID names an image.
const minPrefix = 4

// FindImage finds an image of the cache by name, or by ID or enough of it.
func (c *Cache) FindImage(text string) (Listed, error) {
	list, err := c.Images()
	if err != nil {
		return Listed{}, err
	}
	names := map[string]bool{text: true}
	if s, err := source.Parse(text, ""); err == nil {
		names[s.String()] = true
	}
	var found []Listed
	for _, l := range list {
		for _, n := range l.Names {
			if names[n] {
				return l, nil
			}
		}
		if len(imageKey(text)) >= minPrefix && strings.HasPrefix(imageKey(l.ID), imageKey(text)) {
			found = append(found, l)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Listed{}, errdef.New(errdef.ErrNotFound, "the cache has no image %q", text).WithRemedy("see what it has: voidbox image list")
	}
	return Listed{}, errdef.New(errdef.ErrInvalid, "%q is the beginning of the IDs of %d images", text, len(found)).WithRemedy("write more of it")
}

// SetImageName gives an image of the cache a name of a registry's kind, by which a sandbox can ask for it.
func (c *Cache) SetImageName(text string, img *Image) error {
	s, err := source.Parse(text, "")
	if err == nil && s.Kind != source.Registry {
		err = errdef.New(errdef.ErrInvalid, "%q is not a name that an image could be given", text).WithRemedy("write one like local/tools:1")
	}
	if err != nil {
		return err
	}
	return c.setName(s.String(), img)
}

// RemoveImage removes a name of the cache, and the image behind it unless another name leads there; by ID it removes the image and
// all its names. VMs that run from its disk go on.
func (c *Cache) RemoveImage(ctx context.Context, text string) (Listed, error) {
	l, err := c.FindImage(text)
	if err != nil {
		return l, err
	}
	full := text
	if s, err := source.Parse(text, ""); err == nil {
		full = s.String()
	}
	rest := 0
	for _, n := range l.Names {
		if byName := n == text || n == full; byName {
			if err := os.Remove(c.nameFile(n)); err != nil {
				return l, c.explain(err)
			}
		} else {
			rest++
		}
	}
	if rest > 0 && rest < len(l.Names) {
		return l, nil
	}
	for _, n := range l.Names {
		if err := os.Remove(c.nameFile(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return l, c.explain(err)
		}
	}
	return l, c.drop(ctx, imageKind, imageKey(l.ID))
}

// drop removes an entry in such a way that nobody ever sees a part of it.
func (c *Cache) drop(ctx context.Context, kind, key string) error {
	parent := filepath.Join(c.dir, filepath.FromSlash(kind))
	unlock, err := takeLock(ctx, lockPath(parent, key))
	if err != nil {
		return err
	}
	defer unlock()
	work := filepath.Join(parent, workPrefix+key)
	if err := os.RemoveAll(work); err != nil {
		return c.explain(err)
	}
	if err := os.Rename(filepath.Join(parent, key), work); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c.explain(err)
	}
	return c.explain(os.RemoveAll(work))
}

// Pruned is what Prune has removed.
type Pruned struct {
	Images    int   `json:"images"`
	Downloads int   `json:"downloads"`
	Bytes     int64 `json:"bytes"`
}

// Prune removes downloads, which are kept for images that share layers and for pulls that broke off, and images that no name leads
// to any more, nor one of a layout, an archive or a directory that is gone. With all it removes every image.
func (c *Cache) Prune(ctx context.Context, all bool) (Pruned, error) {
	var p Pruned
	list, err := c.Images()
	if err != nil {
		return p, err
	}
	for _, l := range list {
		if !all && slices.ContainsFunc(l.Names, alive) {
			continue
		}
		for _, n := range l.Names {
			if err := os.Remove(c.nameFile(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return p, c.explain(err)
			}
		}
		if err := c.drop(ctx, imageKind, imageKey(l.ID)); err != nil {
			return p, err
		}
		p.Images++
		p.Bytes += l.Used
	}
	sweep(filepath.Join(c.dir, imageKind), "")
	return p, c.pruneDownloads(&p)
}

// alive tells whether a name may be asked for again.
func alive(name string) bool {
	_, err := source.Parse(name, "")
	var missing *source.MissingError
	return !errors.As(err, &missing)
}

// pruneDownloads leaves alone what somebody is downloading.
func (c *Cache) pruneDownloads(p *Pruned) error {
	dir := filepath.Join(c.blobs().Dir, "sha256")
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		digest, _, _ := strings.Cut(f.Name(), ".")
		if strings.HasSuffix(f.Name(), lockSuffix) {
			continue
		}
		unlock, err := lock.Try(lockPath(dir, digest))
		if err != nil {
			continue
		}
		info, err := f.Info()
		if err == nil {
			err = os.Remove(filepath.Join(dir, f.Name()))
		}
		unlock()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return c.explain(err)
		}
		if err == nil {
			p.Downloads++
			p.Bytes += usedBytes(info)
		}
	}
	return nil
}
