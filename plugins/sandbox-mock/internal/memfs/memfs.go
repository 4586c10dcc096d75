package memfs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxName  = 255
	maxPath  = 4096
	maxLinks = 40 // symbolic links followed in one path, as Linux has it
)

// Limits bounds a file system.
type Limits struct {
	Bytes int64 // content of all files
	Nodes int   // files, directories, links
}

// User is who asks. Root passes every check.
type User struct {
	UID, GID uint32
	Root     bool
	Quota    *Quota // nil bounds nothing
}

// Info describes a node.
type Info struct {
	Name     string
	Size     int64
	Mode     fs.FileMode
	ModTime  time.Time
	UID, GID uint32
	Target   string // of a symbolic link
	Inode    uint64
	Links    int
}

// FS is a file system. Its methods may be called concurrently. Paths are absolute.
type FS struct {
	limits Limits

	mu        sync.RWMutex
	root      *node
	bytes     int64
	nodes     int
	nextInode uint64
}

type node struct {
	mode     fs.FileMode
	uid, gid uint32
	modified time.Time
	inode    uint64
	links    int // names that lead here
	open     int // handles

	data     []byte           // regular file
	children map[string]*node // directory
	target   string           // symbolic link
	device   Device
}

// New returns a file system that holds only a root directory, which belongs to root.
func New(limits Limits) *FS {
	f := &FS{limits: limits}
	f.root = f.newNode(fs.ModeDir|0o755, User{Root: true})
	f.root.links = 1
	f.nodes = 1
	return f
}

func (f *FS) newNode(mode fs.FileMode, u User) *node {
	f.nextInode++
	n := &node{mode: mode, uid: u.UID, gid: u.GID, modified: time.Now(), inode: f.nextInode}
	if mode.IsDir() {
		n.children = map[string]*node{}
	}
	return n
}

// Usage returns the bytes and nodes in use.
func (f *FS) Usage() (bytes int64, nodes int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.bytes, f.nodes
}

// Limits returns the bounds.
func (f *FS) Limits() Limits { return f.limits }

func pathError(op, p string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: p, Err: err}
}

// place is where a path leads: a name in a directory, and what is there, nil when nothing is.
type place struct {
	parent *node
	name   string
	node   *node
}

// find walks a path. Every directory on the way must be searchable by u. The last link is followed on request.
func (f *FS) find(u User, p string, follow bool) (place, error) {
	if len(p) > maxPath {
		return place{}, syscall.ENAMETOOLONG
	}
	if !path.IsAbs(p) {
		return place{}, syscall.ENOENT
	}
	links := 0
	return f.walk(u, []*node{f.root}, p, follow, &links)
}

// walk resolves p from the directory at the end of trail, the chain of directories from the root.
func (f *FS) walk(u User, trail []*node, p string, follow bool, links *int) (place, error) {
	if strings.HasPrefix(p, "/") {
		trail = trail[:1]
	}
	parts := split(p)
	mustBeDir := strings.HasSuffix(p, "/")
	for i := 0; i < len(parts); i++ {
		dir, name, last := trail[len(trail)-1], parts[i], i == len(parts)-1
		if !dir.mode.IsDir() {
			return place{}, syscall.ENOTDIR
		}
		if !dir.allows(u, 1) {
			return place{}, syscall.EACCES
		}
		if len(name) > maxName {
			return place{}, syscall.ENAMETOOLONG
		}
		if name == ".." {
			trail = trail[:max(len(trail)-1, 1)]
			continue
		}
		n := dir.children[name]
		if n == nil {
			if last {
				return place{parent: dir, name: name}, nil
			}
			return place{}, syscall.ENOENT
		}
		if n.mode.Type() == fs.ModeSymlink && (!last || follow || mustBeDir) {
			if *links++; *links > maxLinks {
				return place{}, syscall.ELOOP
			}
			if last {
				return f.walk(u, slices.Clone(trail), n.target, true, links)
			}
			at, err := f.walkDir(u, slices.Clone(trail), n.target, links)
			if err != nil {
				return place{}, err
			}
			trail = at
			continue
		}
		if last {
			if mustBeDir && !n.mode.IsDir() {
				return place{}, syscall.ENOTDIR
			}
			return place{parent: dir, name: name, node: n}, nil
		}
		trail = append(trail, n)
	}
	// The path ended in the root, or in "..".
	return place{parent: nil, name: "/", node: trail[len(trail)-1]}, nil
}

// walkDir resolves the target of a link in the middle of a path, and returns the trail to it.
func (f *FS) walkDir(u User, trail []*node, p string, links *int) ([]*node, error) {
	if strings.HasPrefix(p, "/") {
		trail = trail[:1]
	}
	for _, name := range split(p) {
		dir := trail[len(trail)-1]
		if !dir.mode.IsDir() {
			return nil, syscall.ENOTDIR
		}
		if !dir.allows(u, 1) {
			return nil, syscall.EACCES
		}
		if name == ".." {
			trail = trail[:max(len(trail)-1, 1)]
			continue
		}
		n := dir.children[name]
		if n == nil {
			return nil, syscall.ENOENT
		}
		if n.mode.Type() != fs.ModeSymlink {
			trail = append(trail, n)
			continue
		}
		if *links++; *links > maxLinks {
			return nil, syscall.ELOOP
		}
		var err error
		if trail, err = f.walkDir(u, slices.Clone(trail), n.target, links); err != nil {
			return nil, err
		}
	}
	return trail, nil
}

// split returns the parts of a path that matter.
func split(p string) []string {
	return slices.DeleteFunc(strings.Split(p, "/"), func(s string) bool { return s == "" || s == "." })
}

// existing is find for paths at which something must be.
func (f *FS) existing(u User, p string, follow bool) (place, error) {
	at, err := f.find(u, p, follow)
	if err == nil && at.node == nil {
		err = syscall.ENOENT
	}
	return at, err
}

// allows checks permission bits: 4 read, 2 write, 1 execute or search.
func (n *node) allows(u User, want fs.FileMode) bool {
	if u.Root {
		return want != 1 || n.mode.IsDir() || n.mode&0o111 != 0
	}
	perm := n.mode.Perm()
	switch {
	case n.uid == u.UID:
		perm >>= 6
	case n.gid == u.GID:
		perm >>= 3
	}
	return perm&want == want
}

// mayUnlink checks that u may take a name out of dir, with the sticky bit.
func mayUnlink(u User, dir, n *node) error {
	if !dir.allows(u, 2) {
		return syscall.EACCES
	}
	if dir.mode&fs.ModeSticky != 0 && !u.Root && n.uid != u.UID && dir.uid != u.UID {
		return syscall.EPERM
	}
	return nil
}

// link gives a node a name.
func (f *FS) link(u User, at place, n *node) error {
	if at.parent == nil {
		return syscall.EEXIST
	}
	if at.parent.links == 0 {
		return syscall.ENOENT // the directory was removed
	}
	if !at.parent.allows(u, 2) {
		return syscall.EACCES
	}
	if n.links == 0 {
		if f.nodes >= f.limits.Nodes {
			return syscall.ENOSPC
		}
		f.nodes++
	}
	n.links++
	at.parent.children[at.name] = n
	at.parent.modified = time.Now()
	return nil
}

// unlink takes a name away, and releases the node with its last name and handle.
func (f *FS) unlink(at place) {
	delete(at.parent.children, at.name)
	at.parent.modified = time.Now()
	at.node.links--
	f.release(at.node)
}

func (f *FS) release(n *node) {
	if n.links > 0 || n.open > 0 {
		return
	}
	f.nodes--
	f.bytes -= int64(len(n.data))
	n.data = nil
}

func (n *node) info(name string) Info {
	size := int64(len(n.data))
	switch n.mode.Type() {
	case fs.ModeSymlink:
		size = int64(len(n.target))
	case fs.ModeDir:
		size = 4096
	}
	return Info{
		Name: name, Size: size, Mode: n.mode, ModTime: n.modified, UID: n.uid, GID: n.gid,
		Target: n.target, Inode: n.inode, Links: n.links,
	}
}
