package tree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Pack writes what is at path. A symbolic link there is followed, those below are carried as they are. What goes away while it is looked at
// is left out; a file that gets shorter while it is read is an error.
func Pack(ctx context.Context, path string, w io.Writer) (Stats, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Stats{}, err
	}
	p := &packer{ctx: ctx, tar: tar.NewWriter(w), names: map[file]string{}, buf: make([]byte, 256<<10)}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return Stats{}, errdef.New(errdef.ErrInvalid, "%s is neither a file nor a directory (%s)", path, info.Mode().Type())
	}
	if err := p.add(path, ".", info, 0); err != nil {
		return p.stats, err
	}
	return p.stats, p.tar.Close()
}

// file is the identity of a file that has several names.
type file struct{ dev, ino uint64 }

type packer struct {
	ctx   context.Context
	tar   *tar.Writer
	names map[file]string // first names of files that have several
	buf   []byte
	stats Stats
}

// add writes what is at path under a name of the archive.
func (p *packer) add(at, name string, info fs.FileInfo, depth int) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	switch {
	case info.IsDir():
		return p.addDir(at, name, info, depth)
	case info.Mode().IsRegular():
		return p.addFile(at, name)
	case info.Mode().Type() == fs.ModeSymlink:
		return p.addLink(at, name, info)
	}
	p.stats.Skipped++
	return nil
}

func (p *packer) header(kind byte, name string, info fs.FileInfo) *tar.Header {
	h := &tar.Header{Typeflag: kind, Name: name, Mode: int64(unixMode(info.Mode())), ModTime: wholeSeconds(info.ModTime())}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		h.Uid, h.Gid = int(st.Uid), int(st.Gid)
	}
	return h
}

func (p *packer) write(h *tar.Header) error {
	if err := p.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	p.stats.Files++
	return nil
}

func (p *packer) addDir(at, name string, info fs.FileInfo, depth int) error {
	if depth > maxDepth {
		return errdef.New(errdef.ErrExhausted, "%s is deeper than %d directories", at, maxDepth)
	}
	entries, err := readNames(at)
	if errors.Is(err, fs.ErrNotExist) && depth > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.write(p.header(tar.TypeDir, name+"/", info)); err != nil {
		return err
	}
	for _, entry := range entries {
		below := filepath.Join(at, entry)
		info, err := os.Lstat(below)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := p.add(below, path.Join(name, entry), info, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// readNames returns the names in a directory in order, so that an archive of the same tree is the same. Unfinished files of an Unpack are
// nobody's business.
func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, Temporary) }), err
}

func (p *packer) addLink(at, name string, info fs.FileInfo) error {
	target, err := os.Readlink(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	h := p.header(tar.TypeSymlink, name, info)
	h.Linkname = target
	return p.write(h)
}

func (p *packer) addFile(at, name string) error {
	// What was a file a moment ago may be a FIFO now, which must not hold us up.
	f, err := os.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) && name != "." {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		p.stats.Skipped++
		return nil
	}
	if first, again := p.named(info, name); again {
		h := p.header(tar.TypeLink, name, info)
		h.Linkname = first
		return p.write(h)
	}
	h := p.header(tar.TypeReg, name, info)
	h.Size = info.Size()
	if err := p.write(h); err != nil {
		return err
	}
	return p.content(f, at, info.Size())
}

// named returns the first name of a file that was added before under another one.
func (p *packer) named(info fs.FileInfo, name string) (first string, again bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return "", false
	}
	id := file{uint64(st.Dev), st.Ino}
	if first, again = p.names[id]; !again {
		p.names[id] = name
	}
	return first, again
}

func (p *packer) content(f *os.File, at string, size int64) error {
	for size > 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(p.buf[:min(size, int64(len(p.buf)))])
		if n > 0 {
			if _, err := p.tar.Write(p.buf[:n]); err != nil {
				return err
			}
			size -= int64(n)
			p.stats.Bytes += uint64(n)
			continue
		}
		if errors.Is(err, io.EOF) {
			return errdef.New(errdef.ErrAborted, "%s became shorter while it was read", at).WithRemedy("copy it again when nobody writes to it")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unixMode returns the bits of a mode as chmod(2) has them.
func unixMode(m fs.FileMode) uint32 {
	unix := uint32(m.Perm())
	for bit, value := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			unix |= value
		}
	}
	return unix
}
