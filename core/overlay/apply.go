package overlay

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Apply makes changes of the mount real, in their order. A file is replaced in one step, so whoever reads it meanwhile sees the
// old one or the new one. What was written stays where it is, and is no change any more.
func (m Mount) Apply(changes []Change) error {
	d, err := m.open()
	if err != nil {
		return err
	}
	defer d.close()
	defer d.finish()
	for i := range changes {
		c := &changes[i]
		err := d.apply(c)
		if err == nil && c.Kind != Removed {
			err = d.noteApplied(c.Path)
		}
		if err != nil {
			return fmt.Errorf("apply %s: %w", path.Join(m.Target, c.Path), err)
		}
	}
	return nil
}

func (d *diff) apply(c *Change) error {
	if c.virtual {
		return errdef.New(errdef.ErrUnsupported, "it is a device, a FIFO or a socket, which exists in the guest only")
	}
	if c.Kind == Removed {
		return d.lower.RemoveAll(c.Path)
	}
	if err := d.parents(path.Dir(c.Path)); err != nil {
		return err
	}
	if err := d.makeWay(c); err != nil {
		return err
	}
	switch c.Mode.Type() {
	case fs.ModeDir:
		return d.directory(c.Path, c.Mode.Perm())
	case fs.ModeSymlink:
		return d.replace(c.Path, func(temp string) error { return d.lower.Symlink(c.Link, temp) })
	}
	return d.replace(c.Path, func(temp string) error { return d.copy(c, temp) })
}

// parents makes the directories above what is applied, as the guest has made them.
func (d *diff) parents(dir string) error {
	if dir == "." {
		return nil
	}
	switch info, err := d.lower.Lstat(dir); {
	case err == nil && info.IsDir():
		return nil
	case err == nil: // the guest has put a directory in the place of something else
		if err := d.lower.Remove(dir); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.parents(path.Dir(dir)); err != nil {
		return err
	}
	perm, err := d.upperPerm(dir)
	if err != nil {
		return err
	}
	return d.directory(dir, perm)
}

// upperPerm is the permissions of a directory that the guest has made.
func (d *diff) upperPerm(dir string) (fs.FileMode, error) {
	info, err := d.upper.Lstat(dir)
	if err != nil {
		return 0, err
	}
	above, err := d.upper.Open(path.Dir(dir))
	if err != nil {
		return 0, err
	}
	defer above.Close()
	r, err := recordOf(above, path.Base(dir))
	return permOf(&r, info), err
}

// makeWay removes what is of another kind and cannot be replaced by a rename.
func (d *diff) makeWay(c *Change) error {
	info, err := d.lower.Lstat(c.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.IsDir() == c.Mode.IsDir() {
		return err
	}
	return d.lower.RemoveAll(c.Path)
}

// madeDir is a directory, and the permissions that it will have.
type madeDir struct {
	path string
	perm fs.FileMode
}

// directory makes a directory, or changes one. Until all is applied, something can be made in it.
func (d *diff) directory(at string, perm fs.FileMode) error {
	if err := d.lower.Mkdir(at, private); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d.dirs = append(d.dirs, madeDir{at, perm})
	return d.lower.Chmod(at, perm|private)
}

// finish gives directories their permissions, those deep down first. One that was removed again needs none.
func (d *diff) finish() {
	for _, dir := range slices.Backward(d.dirs) {
		if dir.perm|private != dir.perm {
			_ = d.lower.Chmod(dir.path, dir.perm)
		}
	}
}

// replace makes something beside a name, and then lets it take the name. What an apply has left that was killed is in the way of the
// next one, and goes.
func (d *diff) replace(at string, create func(temp string) error) error {
	sum := sha256.Sum256([]byte(path.Base(at)))
	temp := path.Join(path.Dir(at), ".voidbox-"+hex.EncodeToString(sum[:8]))
	if err := d.lower.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := create(temp)
	if err == nil {
		err = d.lower.Rename(temp, at)
	}
	if err != nil {
		_ = d.lower.Remove(temp)
	}
	return err
}

// copy copies a file's contents, permissions and time.
func (d *diff) copy(c *Change, to string) error {
	in, err := d.upper.Open(c.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errdef.New(errdef.ErrState, "it has changed meanwhile")
	}
	out, err := d.lower.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Chmod(c.Mode.Perm())
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = d.lower.Chtimes(to, info.ModTime(), info.ModTime())
	}
	return err
}
