package mock

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// ReadTree implements sandbox.Sandbox. See package tree for the archive.
func (s *Sandbox) ReadTree(ctx context.Context, name string, w io.Writer) (sandbox.TreeStats, error) {
	if err := s.begin(ctx, name); err != nil {
		return sandbox.TreeStats{}, err
	}
	defer s.running.Done()
	info, err := s.machine.FS.Stat(root, name, true)
	if err != nil {
		return sandbox.TreeStats{}, convert(err)
	}
	if !info.Mode.IsDir() && !info.Mode.IsRegular() {
		return sandbox.TreeStats{}, errdef.New(errdef.ErrInvalid, "%s is neither a file nor a directory", name)
	}
	p := &packer{ctx: ctx, fs: s.machine.FS, tar: tar.NewWriter(w), names: map[uint64]string{}}
	if err := p.add(name, ".", info); err != nil {
		return p.stats, convert(err)
	}
	return p.stats, p.tar.Close()
}

type packer struct {
	ctx   context.Context
	fs    *memfs.FS
	tar   *tar.Writer
	names map[uint64]string // first names of files that have several
	stats sandbox.TreeStats
}

func (p *packer) add(at, name string, info memfs.Info) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(sandbox.ModeToUnix(info.Mode)), Uid: int(info.UID), Gid: int(info.GID), ModTime: info.ModTime.Truncate(1e9)}
	switch {
	case info.Mode.IsDir():
		return p.addDir(at, h)
	case info.Mode.Type() == fs.ModeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, info.Target
	case !info.Mode.IsRegular():
		p.stats.Skipped++
		return nil
	case info.Links > 1 && p.names[info.Inode] != "":
		h.Typeflag, h.Linkname = tar.TypeLink, p.names[info.Inode]
	default:
		p.names[info.Inode] = name
		return p.addFile(at, h)
	}
	p.stats.Files++
	return p.tar.WriteHeader(h)
}

func (p *packer) addDir(at string, h *tar.Header) error {
	name := h.Name
	h.Typeflag, h.Name = tar.TypeDir, name+"/"
	p.stats.Files++
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	entries, err := p.fs.ReadDir(root, at)
	for _, e := range entries {
		if err := p.add(path.Join(at, e.Name), path.Join(name, e.Name), e); err != nil {
			return err
		}
	}
	return err
}

func (p *packer) addFile(at string, h *tar.Header) error {
	content, err := p.fs.ReadFile(root, at)
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
	p.stats.Files++
	p.stats.Bytes += uint64(len(content))
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err = p.tar.Write(content)
	return err
}

// WriteTree implements sandbox.Sandbox. It keeps no times, which this file system cannot set.
func (s *Sandbox) WriteTree(ctx context.Context, name string, opt sandbox.TreeOptions, archive io.Reader) (sandbox.TreeStats, error) {
	if err := s.begin(ctx, name); err != nil {
		return sandbox.TreeStats{}, err
	}
	defer s.running.Done()
	owner, err := s.account(opt.User)
	if err != nil {
		return sandbox.TreeStats{}, err
	}
	u := &unpacker{fs: s.machine.FS, owner: asRoot(owner), top: path.Clean(name)}
	entries := tar.NewReader(readerOf(ctx, archive))
	for first := true; ; first = false {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) && !first {
			_, err = io.Copy(io.Discard, archive) // that it has an end
			return u.stats, err
		}
		if err == nil && first != (h.Name == "." || h.Name == "./") {
			err = errdef.New(errdef.ErrDataLoss, "the archive has entry %.80q where %q belongs", h.Name, ".")
		}
		if err == nil {
			err = u.entry(h, entries)
		}
		if err != nil {
			return u.stats, convertTree(err)
		}
	}
}

// convertTree gives an error of the archive, or of the file system, its kind.
func convertTree(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errdef.New(errdef.ErrDataLoss, "the archive is damaged, or broke off: %w", err)
	}
	var known *errdef.Error
	var errno syscall.Errno
	if errors.As(err, &known) || !errors.As(err, &errno) {
		return err
	}
	return convert(err)
}

type unpacker struct {
	fs    *memfs.FS
	owner memfs.User
	top   string
	stats sandbox.TreeStats
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	at, err := u.place(h.Name)
	if err != nil {
		return err
	}
	mode := sandbox.ModeFromUnix(uint32(h.Mode))
	u.stats.Files++
	switch h.Typeflag {
	case tar.TypeDir:
		return u.makeDir(at, mode)
	case tar.TypeReg:
		return u.writeFile(at, mode, content)
	case tar.TypeSymlink:
		return u.replace(at, func(temporary string) error { return u.fs.Symlink(u.owner, h.Linkname, temporary) })
	case tar.TypeLink:
		target, err := u.place(h.Linkname)
		if err != nil {
			return err
		}
		return u.replace(at, func(temporary string) error { return u.fs.Link(root, target, temporary) })
	}
	u.stats.Files--
	u.stats.Skipped++
	return nil
}

// place finds where an entry goes, which is nowhere behind a symbolic link.
func (u *unpacker) place(name string) (string, error) {
	at := u.top
	names := strings.Split(strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/"), "/")
	if name == "." || name == "./" {
		return at, nil
	}
	for _, n := range names {
		info, err := u.fs.Stat(root, at, false)
		if err != nil {
			return "", err
		}
		if n == "" || n == "." || n == ".." || !info.Mode.IsDir() {
			return "", errdef.New(errdef.ErrDataLoss, "the archive has an entry %.80q", name)
		}
		at = path.Join(at, n)
	}
	return at, nil
}

func (u *unpacker) makeDir(at string, mode fs.FileMode) error {
	err := u.fs.Mkdir(u.owner, at, mode)
	if info, statErr := u.fs.Stat(root, at, false); errors.Is(err, syscall.EEXIST) && statErr == nil && info.Mode.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	return u.fs.Chmod(root, at, mode)
}

func (u *unpacker) writeFile(at string, mode fs.FileMode, content io.Reader) error {
	r, err := u.fs.Replacement(memfs.User{UID: u.owner.UID, GID: u.owner.GID})
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(r, content)
	if err != nil {
		return err
	}
	u.stats.Bytes += uint64(n)
	if info, err := u.fs.Stat(root, at, false); err == nil && info.Mode.Type() == fs.ModeSymlink {
		if err := u.fs.Remove(root, at); err != nil {
			return err
		}
	}
	return r.Commit(root, at, mode)
}

// replace makes something beside its place and moves it there.
func (u *unpacker) replace(at string, make func(temporary string) error) error {
	temporary := at + ".voidbox"
	if err := make(temporary); err != nil {
		return err
	}
	err := u.fs.Rename(root, temporary, at)
	if err != nil {
		_ = u.fs.Remove(root, temporary)
	}
	return err
}
