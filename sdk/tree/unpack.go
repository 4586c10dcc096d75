package tree

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Unpack makes path of an archive. The directory above it must exist. A directory that is there is added to; a file is replaced; a
// file never takes the place of a directory, nor the other way round.
func Unpack(ctx context.Context, path string, opt Options, r io.Reader) (Stats, error) {
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return Stats{}, err
	}
	defer parent.Close()
	u := &unpacker{ctx: ctx, opt: opt, prefix: Temporary + rand.Text() + "-", parent: parent, top: filepath.Base(path), buf: make([]byte, 256<<10)}
	u.source.r = r
	u.tar = tar.NewReader(&u.source)
	if !filepath.IsLocal(u.top) || u.top == "." {
		return Stats{}, errdef.New(errdef.ErrInvalid, "%s is no name for something new", path)
	}
	err = u.all()
	return u.stats, errors.Join(err, u.leave(0, err == nil))
}

type unpacker struct {
	ctx    context.Context
	source source
	tar    *tar.Reader
	opt    Options
	prefix string // of temporary names
	next   int
	parent *os.Root // directory above the top
	top    string   // name of the top in it
	levels []level  // directories that are open, from the top down
	buf    []byte
	stats  Stats

	entries uint64
}

// level is a directory that is being filled.
type level struct {
	root   *os.Root
	name   string      // in the level above
	header *tar.Header // its mode and time come when it is full; nil for one that was there before
}

func (u *unpacker) all() error {
	for first := true; ; first = false {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		h, err := u.tar.Next()
		switch {
		case errors.Is(err, io.EOF) && first:
			return errdef.New(errdef.ErrDataLoss, "the archive is empty")
		case errors.Is(err, io.EOF):
			return u.source.finish()
		case err != nil:
			return broken(err)
		}
		if err := u.entry(h, first); err != nil {
			return err
		}
	}
}

// source tells an archive that has ended from one that broke off between two entries, which package tar takes for the same.
type source struct {
	r     io.Reader
	ended bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 && errors.Is(err, io.EOF) {
		return n, nil // it says so again
	}
	s.ended = s.ended || errors.Is(err, io.EOF)
	return n, err
}

// maxPadding is how much may follow the end of an archive: tar pads to whole records.
const maxPadding = 1 << 20

// finish demands that the archive had an end of its own, and reads what fills its last record.
func (s *source) finish() error {
	if s.ended {
		return errdef.New(errdef.ErrDataLoss, "the archive broke off")
	}
	n, err := io.Copy(io.Discard, io.LimitReader(s.r, maxPadding))
	if err == nil && n == maxPadding {
		err = errdef.New(errdef.ErrDataLoss, "something follows the archive")
	}
	return err
}

// broken says that an archive is none, or broke off; an error of its source stays what it is.
func broken(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errdef.New(errdef.ErrDataLoss, "the archive is damaged, or broke off: %w", err)
	}
	return err
}

func (u *unpacker) entry(h *tar.Header, first bool) error {
	if sparse(h) {
		return errdef.New(errdef.ErrDataLoss, "the archive has a sparse file, %.80q", h.Name)
	}
	names, err := split(h.Name)
	if err != nil {
		return err
	}
	if first != (len(names) == 0) {
		return errdef.New(errdef.ErrDataLoss, "the archive has entry %.80q where %q belongs", h.Name, ".")
	}
	if err := u.fits(h); err != nil {
		return err
	}
	dir, name := u.parent, u.top
	if !first {
		if dir, err = u.enter(names[:len(names)-1]); err != nil {
			return err
		}
		name = names[len(names)-1]
	}
	if err := u.make(dir, name, h); err != nil {
		return fmt.Errorf("unpack %s: %w", printable(h.Name), err)
	}
	return nil
}

// fits holds an entry against the limits. A file's size is what its header says: the reader yields no more.
func (u *unpacker) fits(h *tar.Header) error {
	u.entries++
	if u.opt.MaxFiles > 0 && u.entries > u.opt.MaxFiles {
		return errdef.New(errdef.ErrExhausted, "there are more than %d files", u.opt.MaxFiles)
	}
	if u.opt.MaxBytes > 0 && h.Typeflag == tar.TypeReg && uint64(h.Size) > u.opt.MaxBytes-min(u.stats.Bytes, u.opt.MaxBytes) {
		return errdef.New(errdef.ErrExhausted, "the files are larger than %d bytes", u.opt.MaxBytes)
	}
	return nil
}

// sparse tells a file whose size says nothing about the bytes that the archive holds for it: a small archive could fill a disk. Pack
// writes none.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// printable makes a name that somebody else chose fit for a message.
func printable(name string) string {
	quoted := strconv.Quote(name[:min(len(name), 200)])
	return quoted[1 : len(quoted)-1]
}

// split returns the elements of an entry's path; none for the top itself.
func split(name string) ([]string, error) {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if name == "" || name == "." {
		return nil, nil
	}
	names := strings.Split(name, "/")
	for _, n := range names {
		if n == "" || n == "." || n == ".." || strings.ContainsRune(n, 0) || strings.HasPrefix(n, Temporary) {
			return nil, errdef.New(errdef.ErrDataLoss, "the archive has an entry %.80q", name)
		}
	}
	if len(name) > maxPath || len(names) > maxDepth+1 {
		return nil, errdef.New(errdef.ErrExhausted, "the archive has a path of %d bytes and %d directories", len(name), len(names)-1)
	}
	return names, nil
}

// enter makes the directory of these names, seen from the top, the current one.
func (u *unpacker) enter(names []string) (*os.Root, error) {
	if len(u.levels) == 0 {
		return nil, errdef.New(errdef.ErrDataLoss, "the archive has entries below a file")
	}
	same := 1
	for same < len(u.levels) && same <= len(names) && u.levels[same].name == names[same-1] {
		same++
	}
	if err := u.leave(same, true); err != nil {
		return nil, err
	}
	for _, name := range names[same-1:] {
		if err := u.push(u.levels[len(u.levels)-1].root, name, nil); err != nil {
			return nil, err
		}
	}
	return u.levels[len(u.levels)-1].root, nil
}

// push opens a directory as the next level.
func (u *unpacker) push(in *os.Root, name string, h *tar.Header) error {
	info, err := in.Lstat(name)
	if err == nil && !info.IsDir() { // a symbolic link, above all
		err = errdef.New(errdef.ErrExists, "%s is there, and is no directory", name)
	}
	if err != nil {
		return err
	}
	root, err := in.OpenRoot(name)
	if err != nil {
		return err
	}
	u.levels = append(u.levels, level{root, name, h})
	return nil
}

// leave closes levels down to a number, and gives directories that are full their mode and time.
func (u *unpacker) leave(down int, whole bool) error {
	var errs []error
	for len(u.levels) > down {
		last := u.levels[len(u.levels)-1]
		u.levels = u.levels[:len(u.levels)-1]
		last.root.Close()
		above := u.parent
		if n := len(u.levels); n > 0 {
			above = u.levels[n-1].root
		}
		if last.header != nil && whole {
			errs = append(errs, above.Chmod(last.name, u.opt.mode(last.header.FileInfo().Mode())),
				above.Chtimes(last.name, last.header.ModTime, last.header.ModTime))
		}
	}
	return errors.Join(errs...)
}

// make makes one entry in an open directory.
func (u *unpacker) make(dir *os.Root, name string, h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return u.makeDir(dir, name, h)
	case tar.TypeReg:
		return u.replace(dir, name, func(temporary string) error { return u.writeFile(dir, temporary, h) })
	case tar.TypeSymlink:
		return u.replace(dir, name, func(temporary string) error { return u.symlink(dir, temporary, h) })
	case tar.TypeLink:
		return u.replace(dir, name, func(temporary string) error { return u.link(dir, temporary, h) })
	}
	u.stats.Skipped++
	return nil
}

// makeDir makes a directory and goes into it. One that is there stays as it is.
func (u *unpacker) makeDir(dir *os.Root, name string, h *tar.Header) error {
	if dir == u.parent {
		if err := u.leave(0, true); err != nil {
			return err
		}
	} else if n := u.depthOf(dir); n >= 0 {
		if err := u.leave(n+1, true); err != nil {
			return err
		}
	}
	err := dir.Mkdir(name, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		h = nil
	case err != nil:
		return err
	case u.opt.Owner != nil:
		if err := dir.Lchown(name, u.opt.Owner.UID, u.opt.Owner.GID); err != nil {
			return err
		}
	}
	u.stats.Files++
	return u.push(dir, name, h)
}

func (u *unpacker) depthOf(dir *os.Root) int {
	for i, l := range u.levels {
		if l.root == dir {
			return i
		}
	}
	return -1
}

// replace lets something be made under a temporary name and puts it in its place.
func (u *unpacker) replace(dir *os.Root, name string, make func(temporary string) error) error {
	u.next++
	temporary := u.prefix + strconv.Itoa(u.next)
	err := make(temporary)
	if err == nil {
		err = dir.Rename(temporary, name)
	}
	if err != nil {
		_ = dir.Remove(temporary)
		return err
	}
	u.stats.Files++
	return nil
}

func (u *unpacker) writeFile(dir *os.Root, name string, h *tar.Header) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(onlyWriter{f}, onlyReader{u.tar}, u.buf)
	u.stats.Bytes += uint64(n)
	if err != nil {
		f.Close()
		return broken(err)
	}
	if u.opt.Owner != nil {
		err = f.Chown(u.opt.Owner.UID, u.opt.Owner.GID)
	}
	if err == nil {
		err = f.Chmod(u.opt.mode(h.FileInfo().Mode())) // after chown, which clears setuid
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return dir.Chtimes(name, h.ModTime, h.ModTime)
}

func (u *unpacker) symlink(dir *os.Root, name string, h *tar.Header) error {
	if len(h.Linkname) > maxPath || strings.ContainsRune(h.Linkname, 0) {
		return errdef.New(errdef.ErrDataLoss, "a symbolic link's target of %d bytes", len(h.Linkname))
	}
	if err := dir.Symlink(h.Linkname, name); err != nil {
		return err
	}
	if u.opt.Owner != nil {
		return dir.Lchown(name, u.opt.Owner.UID, u.opt.Owner.GID)
	}
	return nil
}

// link makes a second name of a file below the top: os.Root sees to it that it is there, and not behind a symbolic link that leads out.
func (u *unpacker) link(dir *os.Root, name string, h *tar.Header) error {
	target, err := split(h.Linkname)
	if err != nil || len(target) == 0 || len(u.levels) == 0 {
		return errdef.New(errdef.ErrDataLoss, "a hard link to %.80q", h.Linkname)
	}
	top := u.levels[0].root
	// The temporary name is in dir; seen from the top it lies below the levels that lead there.
	path := []string{}
	for _, l := range u.levels[1 : u.depthOf(dir)+1] {
		path = append(path, l.name)
	}
	return top.Link(filepath.Join(target...), filepath.Join(append(path, name)...))
}

// These hide what io.CopyBuffer would rather use than the buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)
