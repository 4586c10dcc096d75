package layer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/image/erofs"
)

// ReadDirectory makes a tree of a directory of the host and all that lies in it on the same file system. What belongs to the
// caller, unless that is root, belongs to root in the tree: it was unpacked by somebody who could not give it away.
func ReadDirectory(ctx context.Context, path string, a *erofs.Appender, b *Budget) (*Tree, error) {
	d := &directory{ctx: ctx, a: a, b: b, links: map[[2]uint64]*erofs.Node{}, uid: os.Geteuid(), gid: os.Getegid()}
	st, err := lstat(path)
	if err != nil {
		return nil, err
	}
	d.device = st.Dev
	n, err := d.node(path, st)
	if err != nil {
		return nil, err
	}
	return &Tree{root: n, budget: b}, d.children(n, path)
}

type directory struct {
	ctx      context.Context
	a        *erofs.Appender
	b        *Budget
	device   uint64
	links    map[[2]uint64]*erofs.Node // files with several names, by device and inode
	uid, gid int
}

func lstat(path string) (*unix.Stat_t, error) {
	st := &unix.Stat_t{}
	if err := unix.Lstat(path, st); err != nil {
		return nil, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return st, nil
}

func (d *directory) children(dir *erofs.Node, path string) error {
	dir.Children = map[string]*erofs.Node{}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := context.Cause(d.ctx); err != nil {
			return err
		}
		child := filepath.Join(path, entry.Name())
		st, err := lstat(child)
		if err != nil {
			return err
		}
		n := d.links[[2]uint64{st.Dev, st.Ino}]
		if n == nil {
			if n, err = d.node(child, st); err != nil {
				return err
			}
		}
		dir.Children[entry.Name()] = n
		if n.IsDir() {
			if err := d.below(n, child, st); err != nil {
				return err
			}
		}
	}
	return nil
}

// below goes into a directory unless another file system is mounted there.
func (d *directory) below(n *erofs.Node, path string, st *unix.Stat_t) error {
	if st.Dev != d.device {
		n.Children = map[string]*erofs.Node{}
		return nil
	}
	return d.children(n, path)
}

func (d *directory) node(path string, st *unix.Stat_t) (*erofs.Node, error) {
	if err := d.b.file(256 + len(filepath.Base(path))); err != nil {
		return nil, err
	}
	n := &erofs.Node{
		Mode: uint16(st.Mode), UID: owner(st.Uid, d.uid), GID: owner(st.Gid, d.gid),
		Seconds: st.Mtim.Sec, Nanoseconds: uint32(st.Mtim.Nsec),
	}
	if st.Nlink > 1 && !n.IsDir() {
		d.links[[2]uint64{st.Dev, st.Ino}] = n
	}
	var err error
	switch n.Type() {
	case erofs.Regular:
		n.Content, err = d.content(path, st)
	case erofs.Symlink:
		n.Target, err = os.Readlink(path)
	case erofs.Char, erofs.Block:
		n.Major, n.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	}
	if err != nil {
		return nil, err
	}
	return n, readXattrs(n, path)
}

// owner maps the caller, unless that is root, to root.
func owner(id uint32, caller int) uint32 {
	if caller != 0 && id == uint32(caller) {
		return 0
	}
	return id
}

func (d *directory) content(path string, st *unix.Stat_t) (*erofs.Content, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := d.b.content(st.Size); err != nil {
		return nil, err
	}
	c, err := d.a.Append(f, st.Size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func readXattrs(n *erofs.Node, path string) error {
	list := make([]byte, maxXattrs)
	size, err := unix.Llistxattr(path, list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "listxattr", Path: path, Err: err}
	}
	if size == 0 {
		return nil
	}
	records := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:size]), "\x00"), "\x00") {
		value := make([]byte, maxXattrs)
		size, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			continue // gone, or not for us
		}
		records[xattrRecord+name] = string(value[:size])
	}
	return setXattrs(n, records)
}
