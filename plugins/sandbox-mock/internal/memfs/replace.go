package memfs

import (
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Replacement is a file that nobody sees until it is committed.
type Replacement struct{ *File }

// Replacement returns an empty file without a name. The caller closes it, committed or not.
func (f *FS) Replacement(u User) (*Replacement, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nodes >= f.limits.Nodes {
		return nil, syscall.ENOSPC
	}
	f.nodes++
	n := f.newNode(0o644, u)
	n.open = 1
	return &Replacement{&File{fs: f, node: n, flag: os.O_RDWR}}, nil
}

// Commit puts the file at p in one step. Mode 0 means that of the file that is replaced, else 0644.
func (r *Replacement) Commit(u User, p string, mode fs.FileMode) error {
	f := r.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("write", p, f.commit(u, r.node, p, mode))
}

func (f *FS) commit(u User, n *node, p string, mode fs.FileMode) error {
	at, err := f.find(u, p, true)
	switch {
	case err != nil:
		return err
	case at.parent == nil || at.node != nil && at.node.mode.IsDir():
		return syscall.EISDIR
	case at.node != nil && !at.node.mode.IsRegular():
		return syscall.EINVAL
	case !at.parent.allows(u, 2):
		return syscall.EACCES
	case at.parent.links == 0:
		return syscall.ENOENT
	}
	if mode == 0 && at.node != nil {
		mode = at.node.mode
	}
	if mode != 0 {
		n.mode = mode
	}
	if at.node != nil {
		f.unlink(at)
	}
	n.links, n.modified = 1, time.Now()
	at.parent.children[at.name] = n
	at.parent.modified = n.modified
	return nil
}
