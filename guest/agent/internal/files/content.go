package files

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/voidbox-run/voidbox/guest/agent/internal/errno"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// ReadFile opens a regular file.
func (f *Files) ReadFile(p string, r sandbox.Range) (io.ReadCloser, error) {
	p, err := clean(p)
	if err != nil {
		return nil, err
	}
	if r.Offset > 1<<62 || r.Limit > 1<<62 {
		return nil, errdef.New(errdef.ErrInvalid, "range %d+%d is beyond any file", r.Offset, r.Limit)
	}
	// Opening a device may do things, so it is looked at before; O_NONBLOCK is for what takes its place in between.
	if info, err := os.Stat(p); err == nil && !info.Mode().IsRegular() {
		return nil, notRegular(p, info)
	}
	file, err := os.OpenFile(p, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, errno.Wrap(err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(p, info)
	}
	if err == nil && r.Offset > 0 {
		_, err = file.Seek(int64(r.Offset), io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, errno.Wrap(err)
	}
	if r.Limit == 0 {
		return file, nil
	}
	return part{io.LimitReader(file, int64(r.Limit)), file}, nil
}

type part struct {
	io.Reader
	io.Closer
}

func notRegular(p string, info fs.FileInfo) error {
	if info.IsDir() {
		return errdef.New(errdef.ErrInvalid, "%s is a directory", p)
	}
	return errdef.New(errdef.ErrInvalid, "%s is not a regular file (%s)", p, info.Mode().Type())
}

// WriteFile replaces a file with content.
func (f *Files) WriteFile(p string, opt sandbox.WriteOptions, content io.Reader) (n int64, err error) {
	if p, err = clean(p); err != nil {
		return 0, err
	}
	user, err := f.Lookup(opt.User)
	if err != nil {
		return 0, err
	}
	mode := opt.Mode & permissions
	old, err := os.Lstat(p)
	switch {
	case err == nil && old.IsDir():
		return 0, errdef.New(errdef.ErrInvalid, "%s is a directory", p)
	case err == nil && old.Mode().IsRegular():
		mode, user = inherit(old, mode, user, opt.User != "")
	case err != nil && opt.Parents:
		if err := f.makeParents(p, user); err != nil {
			return 0, err
		}
	}
	if mode == 0 {
		mode = 0o644
	}
	temporary, err := createBeside(p)
	if err != nil {
		return 0, errno.Wrap(err)
	}
	n, err = fill(temporary, content, mode, user)
	if err == nil {
		err = os.Rename(temporary.Name(), p)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return 0, errno.Wrap(fmt.Errorf("write %s: %w", p, err))
	}
	return n, nil
}

// inherit gives a new file the permissions and the owner of the old one, as far as nobody asked for others.
func inherit(old fs.FileInfo, mode fs.FileMode, user boot.User, named bool) (fs.FileMode, boot.User) {
	if mode == 0 {
		mode = old.Mode() & permissions
	}
	if stat, ok := old.Sys().(*syscall.Stat_t); ok && !named {
		user.UID, user.GID = stat.Uid, stat.Gid
	}
	return mode, user
}

// createBeside makes a file that nobody else may open, in the directory of p.
func createBeside(p string) (*os.File, error) {
	name := path.Join(path.Dir(p), ".voidbox-"+rand.Text())
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
}

func fill(file *os.File, content io.Reader, mode fs.FileMode, user boot.User) (int64, error) {
	n, err := io.Copy(file, content)
	if err == nil && os.Geteuid() == 0 {
		err = file.Chown(int(user.UID), int(user.GID))
	}
	if err == nil {
		err = file.Chmod(mode) // after chown, which clears setuid
	}
	return n, errors.Join(err, file.Close())
}
