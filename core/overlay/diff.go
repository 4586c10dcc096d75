package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/share"
)

// Kind says what became of a name.
type Kind string

// Kinds of change.
const (
	Added    Kind = "added"
	Modified Kind = "modified"
	Removed  Kind = "removed"
)

// Change is what a guest did to one name of a mount.
type Change struct {
	Path    string      `json:"path"` // below the mount, with slashes
	Kind    Kind        `json:"kind"`
	Mode    fs.FileMode `json:"mode"` // of what is there now; of what was there when it was removed
	Size    int64       `json:"size"`
	Link    string      `json:"link,omitempty"`  // where a symbolic link leads
	Flags   []string    `json:"flags,omitempty"` // why to look twice
	virtual bool        // a device, FIFO or socket, which cannot be applied
	hollow  bool        // far larger than what it takes on the disk
	stale   bool        // the host has changed it since
}

// Changes compares what the guest has written with what is on the host now, in the order of paths, directories before what is in
// them. What is the same by now is no change.
func (m Mount) Changes() ([]Change, error) {
	d, err := m.open()
	if err != nil {
		return nil, err
	}
	defer d.close()
	if err := d.walk(".", true, false); err != nil {
		return nil, fmt.Errorf("compare %s: %w", m.Target, err)
	}
	for i := range d.changes {
		d.changes[i].Flags = flagsOf(&d.changes[i])
	}
	return d.changes, nil
}

// diff is a comparison under way.
type diff struct {
	upper, lower *os.Root
	changes      []Change
	dirs         []madeDir // by apply
}

func (m Mount) open() (*diff, error) {
	upper, err := os.OpenRoot(m.Upper)
	if err != nil {
		return nil, err
	}
	lower, err := os.OpenRoot(m.Source)
	if err != nil {
		_ = upper.Close()
		return nil, fmt.Errorf("the directory that %s was made of: %w", m.Target, err)
	}
	return &diff{upper: upper, lower: lower}, nil
}

func (d *diff) close() {
	_ = d.upper.Close()
	_ = d.lower.Close()
}

// walk compares a directory. below tells whether there is one below, hidden whether what is in that is not seen through.
func (d *diff) walk(dir string, below, hidden bool) error {
	f, err := d.upper.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return err
	}
	here := map[string]fs.DirEntry{}
	for _, e := range entries {
		here[e.Name()] = e
	}
	names := keys(here)
	if below && hidden {
		if names, err = d.with(dir, names); err != nil {
			return err
		}
	}
	for _, name := range names {
		at := path.Join(dir, name)
		e := here[name]
		if e == nil {
			err = d.removed(f, ".", at)
		} else {
			err = d.entry(f, at, e, below)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entry compares one name, which is in the upper directory f.
func (d *diff) entry(f *os.File, at string, e fs.DirEntry, below bool) error {
	info, err := d.upper.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a guest that runs has removed it
	}
	if err != nil {
		return err
	}
	var r share.Record
	if info.IsDir() || info.Mode().IsRegular() {
		if r, err = recordOf(f, e.Name()); err != nil {
			return err
		}
	}
	var was fs.FileInfo
	if below {
		if was, err = d.lower.Lstat(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	switch {
	case r.Has&share.Whiteout != 0 && was == nil:
		return nil
	case r.Has&share.Whiteout != 0:
		return d.removed(f, e.Name(), at)
	}
	perm := permOf(&r, info)
	c := Change{Path: at, Kind: Added, Mode: info.Mode()&^fs.ModePerm | perm, Size: info.Size()}
	if r.Has&share.HasKind != 0 {
		c.Mode, c.Size, c.virtual = modeOf(r.Kind)|perm, 0, true
	}
	if was != nil {
		c.Kind = Modified
	}
	c.hollow = info.Mode().IsRegular() && hollow(info)
	if c.Mode&fs.ModeSymlink != 0 {
		if c.Link, err = d.upper.Readlink(at); err != nil {
			return err
		}
	}
	same, err := d.same(&c, was)
	if err != nil {
		return err
	}
	if info.IsDir() {
		c.Size = 0
	}
	if !same && was != nil && !(info.IsDir() && was.IsDir()) {
		if c.stale, err = d.conflicts(f, e.Name(), at); err != nil {
			return err
		}
	}
	if !same {
		d.changes = append(d.changes, c)
	}
	if info.IsDir() {
		return d.walk(at, was != nil && was.IsDir(), r.Has&share.Opaque != 0)
	}
	return nil
}

// permOf is the permissions that the guest sees.
func permOf(r *share.Record, info fs.FileInfo) fs.FileMode {
	return fs.FileMode(r.PermOf(uint32(info.Mode().Perm()), info.IsDir()))
}

// modeOf turns Linux's kind of file into Go's.
func modeOf(kind uint32) fs.FileMode {
	switch kind {
	case 0o010000:
		return fs.ModeNamedPipe
	case 0o020000:
		return fs.ModeDevice | fs.ModeCharDevice
	case 0o060000:
		return fs.ModeDevice
	}
	return fs.ModeSocket
}

// same tells whether a name is what it was.
func (d *diff) same(c *Change, was fs.FileInfo) (bool, error) {
	if was == nil || was.Mode().Type() != c.Mode.Type() {
		return false, nil
	}
	switch c.Mode.Type() {
	case fs.ModeDir:
		return c.Mode.Perm() == was.Mode().Perm(), nil
	case fs.ModeSymlink:
		link, err := d.lower.Readlink(c.Path)
		return link == c.Link, err
	case 0:
		if c.Mode.Perm() != was.Mode().Perm() || c.Size != was.Size() {
			return false, nil
		}
		return d.sameContents(c.Path)
	}
	return true, nil
}

func (d *diff) sameContents(at string) (bool, error) {
	a, err := d.upper.Open(at)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := d.lower.Open(at)
	if err != nil {
		return false, err
	}
	defer b.Close()
	const piece = 64 << 10
	one, two := make([]byte, piece), make([]byte, piece)
	for {
		n, err := io.ReadFull(a, one)
		m, err2 := io.ReadFull(b, two)
		if !bytes.Equal(one[:n], two[:m]) {
			return false, nil
		}
		if err == nil && err2 == nil {
			continue
		}
		for _, err := range []error{err, err2} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return false, err
			}
		}
		return true, nil
	}
}

// removed notes that what is below is gone. A name of the directory f stands for that.
func (d *diff) removed(f *os.File, name, at string) error {
	info, err := d.lower.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c := Change{Path: at, Kind: Removed, Mode: info.Mode()}
	if info.Mode().IsRegular() {
		c.Size = info.Size()
	}
	if c.stale, err = d.conflicts(f, name, at); err != nil {
		return err
	}
	d.changes = append(d.changes, c)
	return nil
}

// with adds the names of a lower directory.
func (d *diff) with(dir string, names []string) ([]string, error) {
	f, err := d.lower.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	below, err := f.Readdirnames(-1)
	for _, name := range below {
		all[name] = true
	}
	return keys(all), err
}

// Below tells whether a path is at, or in, another one.
func Below(p, dir string) bool {
	return dir == "." || p == dir || strings.HasPrefix(p, dir+"/")
}
