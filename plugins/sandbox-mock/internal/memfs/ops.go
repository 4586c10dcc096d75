package memfs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Stat describes a path.
func (f *FS) Stat(u User, p string, follow bool) (Info, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	at, err := f.existing(u, p, follow)
	if err != nil {
		return Info{}, pathError("stat", p, err)
	}
	name := path.Base(path.Clean(p))
	return at.node.info(name), nil
}

// Access checks permission bits: 4 read, 2 write, 1 execute or search.
func (f *FS) Access(u User, p string, want fs.FileMode) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	at, err := f.existing(u, p, true)
	if err == nil && !at.node.allows(u, want) {
		err = syscall.EACCES
	}
	return pathError("access", p, err)
}

// ReadDir lists a directory in name order.
func (f *FS) ReadDir(u User, p string) ([]Info, error) {
	if err := u.Quota.take(); err != nil {
		return nil, pathError("open", p, err)
	}
	defer u.Quota.giveBack()
	f.mu.RLock()
	defer f.mu.RUnlock()
	at, err := f.existing(u, p, true)
	switch {
	case err != nil:
	case !at.node.mode.IsDir():
		err = syscall.ENOTDIR
	case !at.node.allows(u, 4):
		err = syscall.EACCES
	}
	if err != nil {
		return nil, pathError("open", p, err)
	}
	entries := make([]Info, 0, len(at.node.children))
	for name, n := range at.node.children {
		entries = append(entries, n.info(name))
	}
	slices.SortFunc(entries, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Mkdir makes a directory that belongs to u.
func (f *FS) Mkdir(u User, p string, perm fs.FileMode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("mkdir", p, f.create(u, p, f.newNode(fs.ModeDir|perm, u)))
}

// MkdirAll makes a directory with its parents. An existing directory is left as it is.
func (f *FS) MkdirAll(u User, p string, perm fs.FileMode) error {
	for i := 1; i <= len(p); i++ {
		if i < len(p) && p[i] != '/' {
			continue
		}
		part := p[:i]
		err := f.Mkdir(u, part, perm)
		if err == nil {
			continue
		}
		info, statErr := f.Stat(u, part, true)
		if statErr != nil {
			return err
		}
		if !info.Mode.IsDir() {
			return pathError("mkdir", p, syscall.ENOTDIR)
		}
	}
	return nil
}

// Symlink makes a symbolic link at p.
func (f *FS) Symlink(u User, target, p string) error {
	if target == "" || len(target) > maxPath {
		return pathError("symlink", p, syscall.EINVAL)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.newNode(fs.ModeSymlink|0o777, u)
	n.target = target
	return pathError("symlink", p, f.create(u, p, n))
}

// Mkfifo makes a named pipe, which can be seen but not opened.
func (f *FS) Mkfifo(u User, p string, perm fs.FileMode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("mkfifo", p, f.create(u, p, f.newNode(fs.ModeNamedPipe|perm, u)))
}

// Mknod makes a device. Only whoever builds the file system does.
func (f *FS) Mknod(p string, d Device) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.newNode(fs.ModeDevice|fs.ModeCharDevice|0o666, User{Root: true})
	n.device = d
	return pathError("mknod", p, f.create(User{Root: true}, p, n))
}

// Link gives a file a second name.
func (f *FS) Link(u User, from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, err := f.existing(u, from, false)
	if err == nil && at.node.mode.IsDir() {
		err = syscall.EPERM
	}
	if err == nil {
		err = f.create(u, to, at.node)
	}
	return pathError("link", to, err)
}

// create puts a node where nothing is.
func (f *FS) create(u User, p string, n *node) error {
	at, err := f.find(u, trim(p), false)
	if p == "/" || (err == nil && at.node != nil) {
		return syscall.EEXIST
	}
	if err != nil {
		return err
	}
	return f.link(u, at, n)
}

// Remove takes away a file or an empty directory.
func (f *FS) Remove(u User, p string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, err := f.existing(u, trim(p), false)
	switch {
	case err != nil:
	case at.parent == nil:
		err = syscall.EBUSY
	case len(at.node.children) > 0:
		err = syscall.ENOTEMPTY
	default:
		err = mayUnlink(u, at.parent, at.node)
	}
	if err == nil {
		f.unlink(at)
	}
	return pathError("remove", p, err)
}

// RemoveAll takes away a tree. A missing path is no error.
func (f *FS) RemoveAll(u User, p string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, err := f.find(u, trim(p), false)
	switch {
	case err == syscall.ENOENT || (err == nil && at.node == nil):
		return nil
	case err == nil && at.parent == nil:
		err = syscall.EBUSY
	case err == nil:
		err = f.removeTree(u, at)
	}
	return pathError("remove", p, err)
}

func (f *FS) removeTree(u User, at place) error {
	if err := mayUnlink(u, at.parent, at.node); err != nil {
		return err
	}
	for name, child := range at.node.children {
		if !at.node.allows(u, 3) {
			return syscall.EACCES
		}
		if err := f.removeTree(u, place{parent: at.node, name: name, node: child}); err != nil {
			return err
		}
	}
	f.unlink(at)
	return nil
}

// Rename moves a path, replacing what rename(2) replaces.
func (f *FS) Rename(u User, from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("rename", from, f.rename(u, trim(from), trim(to)))
}

func (f *FS) rename(u User, from, to string) error {
	src, err := f.existing(u, from, false)
	if err != nil {
		return err
	}
	dst, err := f.find(u, to, false)
	if err != nil {
		return err
	}
	if src.parent == nil || dst.parent == nil {
		return syscall.EBUSY
	}
	if src.node == dst.node {
		return nil
	}
	if contains(src.node, dst.parent) {
		return syscall.EINVAL
	}
	if err := mayUnlink(u, src.parent, src.node); err != nil {
		return err
	}
	if !dst.parent.allows(u, 2) {
		return syscall.EACCES
	}
	if dst.node != nil {
		if err := mayReplace(u, src.node, dst); err != nil {
			return err
		}
		f.unlink(dst)
	}
	delete(src.parent.children, src.name)
	dst.parent.children[dst.name] = src.node
	src.parent.modified, dst.parent.modified = time.Now(), time.Now()
	return nil
}

func mayReplace(u User, n *node, dst place) error {
	switch {
	case n.mode.IsDir() && !dst.node.mode.IsDir():
		return syscall.ENOTDIR
	case !n.mode.IsDir() && dst.node.mode.IsDir():
		return syscall.EISDIR
	case len(dst.node.children) > 0:
		return syscall.ENOTEMPTY
	}
	return mayUnlink(u, dst.parent, dst.node)
}

// contains tells whether dir is n or below it.
func contains(n, dir *node) bool {
	if n == dir {
		return true
	}
	for _, child := range n.children {
		if child.mode.IsDir() && contains(child, dir) {
			return true
		}
	}
	return false
}

// Chmod sets permission bits.
func (f *FS) Chmod(u User, p string, mode fs.FileMode) error {
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	return f.change("chmod", u, p, true, func(n *node) error {
		if !n.belongsTo(u) {
			return syscall.EPERM
		}
		n.mode = n.mode&^bits | mode&bits
		return nil
	})
}

// Chown sets the owner, of a link itself unless follow is set. Only root gives files away; others may hand their own files to
// their own group.
func (f *FS) Chown(u User, p string, uid, gid uint32, follow bool) error {
	return f.change("chown", u, p, follow, func(n *node) error {
		if !u.Root && (n.uid != u.UID || uid != n.uid || gid != n.gid && gid != u.GID) {
			return syscall.EPERM
		}
		n.uid, n.gid = uid, gid
		if !n.mode.IsDir() {
			n.mode &^= fs.ModeSetuid | fs.ModeSetgid
		}
		return nil
	})
}

// Touch sets the time of modification to now, which whoever may write a file may.
func (f *FS) Touch(u User, p string) error {
	return f.change("utimes", u, p, true, func(n *node) error {
		if !n.belongsTo(u) && !n.allows(u, 2) {
			return syscall.EACCES
		}
		n.modified = time.Now()
		return nil
	})
}

func (n *node) belongsTo(u User) bool { return u.Root || n.uid == u.UID }

func (f *FS) change(op string, u User, p string, follow bool, apply func(*node) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, err := f.existing(u, p, follow)
	if err == nil {
		err = apply(at.node)
	}
	return pathError(op, p, err)
}

// trim drops slashes at the end, which would make find demand a directory.
func trim(p string) string {
	if short := strings.TrimRight(p, "/"); short != "" || p == "" {
		return short
	}
	return "/"
}
