package files

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/voidbox-run/voidbox/guest/agent/internal/errno"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Files handles files of the guest. Lookup finds accounts; see sandbox.Command.User.
type Files struct {
	Lookup func(user string) (boot.User, error)
}

// maxEntries bounds a directory that is listed; it is read whole to be sorted.
const maxEntries = 200_000

// permissions are the mode bits that a caller may set.
const permissions = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// clean demands an absolute path.
func clean(p string) (string, error) {
	if !path.IsAbs(p) || strings.ContainsRune(p, 0) {
		return "", errdef.New(errdef.ErrInvalid, "%q is not an absolute path", p)
	}
	return path.Clean(p), nil
}

// Stat describes a path.
func (f *Files) Stat(p string, follow bool) (sandbox.FileInfo, error) {
	p, err := clean(p)
	if err != nil {
		return sandbox.FileInfo{}, err
	}
	stat := os.Lstat
	if follow {
		stat = os.Stat
	}
	info, err := stat(p)
	if err != nil {
		return sandbox.FileInfo{}, errno.Wrap(err)
	}
	return describe(info, p), nil
}

func describe(info fs.FileInfo, p string) sandbox.FileInfo {
	d := sandbox.FileInfo{Name: path.Base(p), Size: uint64(info.Size()), Mode: info.Mode(), ModTime: info.ModTime()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		d.UID, d.GID = stat.Uid, stat.Gid
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		d.LinkTarget, _ = os.Readlink(p)
	}
	return d
}

// ListDir describes what a directory holds, in name order. An entry that goes away meanwhile is left out.
func (f *Files) ListDir(p string) ([]sandbox.FileInfo, error) {
	p, err := clean(p)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenFile(p, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errno.Wrap(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxEntries + 1)
	if len(names) > maxEntries {
		return nil, errdef.New(errdef.ErrExhausted, "%s has more than %d entries", p, maxEntries)
	}
	if err != nil && len(names) == 0 && !isEOF(err) {
		return nil, errno.Wrap(err)
	}
	slices.Sort(names)
	list := make([]sandbox.FileInfo, 0, len(names))
	for _, name := range names {
		entry := path.Join(p, name)
		if info, err := os.Lstat(entry); err == nil {
			list = append(list, describe(info, entry))
		}
	}
	return list, nil
}

// MakeDir makes a directory, which belongs to the account that opt names. So do the parents that it makes.
func (f *Files) MakeDir(p string, opt sandbox.MakeDirOptions) error {
	p, err := clean(p)
	if err != nil {
		return err
	}
	user, err := f.Lookup(opt.User)
	if err != nil {
		return err
	}
	mode := opt.Mode & permissions
	if mode == 0 {
		mode = 0o755
	}
	if !opt.Parents {
		return makeDir(p, mode, user)
	}
	if info, err := os.Stat(p); err == nil && info.IsDir() {
		return nil
	}
	if err := f.makeParents(p, user); err != nil {
		return err
	}
	return makeDir(p, mode, user)
}

// makeParents makes the missing directories above p.
func (f *Files) makeParents(p string, user boot.User) error {
	parent := path.Dir(p)
	if info, err := os.Stat(parent); err == nil {
		if !info.IsDir() {
			return errdef.New(errdef.ErrInvalid, "%s is not a directory", parent)
		}
		return nil
	}
	if err := f.makeParents(parent, user); err != nil {
		return err
	}
	return makeDir(parent, 0o755, user)
}

func makeDir(p string, mode fs.FileMode, user boot.User) error {
	if err := os.Mkdir(p, 0o700); err != nil {
		return errno.Wrap(err)
	}
	if err := own(p, user); err != nil {
		return err
	}
	return errno.Wrap(os.Chmod(p, mode)) // past the umask
}

// own gives a new path its owner. An agent that is not root has one owner to give.
func own(p string, user boot.User) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return errno.Wrap(os.Lchown(p, int(user.UID), int(user.GID)))
}

// Remove removes a path.
func (f *Files) Remove(p string, recursive bool) error {
	p, err := clean(p)
	if err != nil {
		return err
	}
	if p == "/" {
		return errdef.New(errdef.ErrInvalid, "the root directory cannot be removed")
	}
	if recursive {
		return errno.Wrap(os.RemoveAll(p))
	}
	return errno.Wrap(os.Remove(p))
}

// Rename moves a path.
func (f *Files) Rename(from, to string) error {
	from, err := clean(from)
	if err != nil {
		return err
	}
	if to, err = clean(to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return errno.Wrap(fmt.Errorf("rename: %w", err))
	}
	return nil
}
