//go:build linux

package sharefs

import (
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
)

// FS serves one guest. Its methods may be called by several goroutines.
type FS struct {
	table  *table
	mounts []*mount
	root   *node
	self   IDs // HostUID and HostGID: whom new files belong to

	writeback atomic.Bool
	loosening sync.Mutex
	ops       [fuse.NumOpcodes]atomic.Uint64
	errors    atomic.Uint64
	read      atomic.Uint64
	written   atomic.Uint64
}

// New serves mounts, of which it takes over the descriptors, also when it fails.
func New(mounts []Mount, limits Limits) (*FS, error) {
	f := &FS{table: newTable(limits), self: IDs{HostUID: uint32(unix.Geteuid()), HostGID: uint32(unix.Getegid())}}
	f.root = &node{kind: unix.S_IFDIR, ino: rootID}
	f.table.add(f.root)
	for _, m := range mounts {
		f.mounts = append(f.mounts, &mount{Mount: m, index: uint32(len(f.mounts)), valid: autoTime})
	}
	for _, m := range f.mounts {
		if m.Always {
			m.valid = alwaysTime
		}
		if err := f.addRoot(m); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// addRoot makes the node of a mount's root, which stays.
func (f *FS) addRoot(m *mount) error {
	var fd found
	if err := hostfs.StatFD(m.Root, &fd.stat); err != nil {
		return err
	}
	k := keyOf(m, &fd.stat)
	n := &node{mount: m, kind: uint32(fd.stat.Mode) & unix.S_IFMT, ino: f.table.inoOf(k, &fd)}
	n.front = &place{key: k}
	n.front.open = &descriptor{fd: m.Root, place: n.front}
	f.table.byKey[k] = n
	if m.layered() {
		var st hostfs.Stat
		if err := hostfs.StatFD(m.Lower, &st); err != nil {
			return err
		}
		n.back = &place{key: keyOf(m, &st)}
		n.back.open = &descriptor{fd: m.Lower, place: n.back}
	}
	f.table.add(n)
	m.root = n
	return nil
}

// Close closes everything. Nobody uses the file system any more.
func (f *FS) Close() {
	f.reset()
	for _, m := range f.mounts {
		_ = unix.Close(m.Root)
		if m.layered() {
			_ = unix.Close(m.Lower)
		}
	}
}

// reset forgets what a guest has known, for another one that starts afresh.
func (f *FS) reset() {
	t := f.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.handles {
		if h := t.handles[i].handle; h != nil {
			t.dropHandle(h)
		}
	}
	for _, n := range t.nodes {
		if n != nil && n.parent != nil {
			t.drop(n)
		}
	}
	for _, m := range f.mounts {
		if m.root != nil {
			m.root.kids, m.root.lookups = 0, 0
		}
	}
}

// node returns the node of a message, which must be that of a mount.
func (f *FS) node(id uint64) (*node, error) {
	n, err := f.table.get(id)
	if err == nil && n.mount == nil {
		return nil, unix.EPERM // the device's root is nobody's to change
	}
	return n, err
}

// directory is node for the directory of a name.
func (f *FS) directory(id uint64, name string) (*node, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	n, err := f.node(id)
	if err == nil && !n.isDir() {
		return nil, unix.ENOTDIR
	}
	return n, err
}

// writable is directory for a change.
func (f *FS) writable(id uint64, name string) (*node, error) {
	n, err := f.directory(id, name)
	if err == nil && n.mount.ReadOnly {
		return nil, unix.EROFS
	}
	return n, err
}

const maxName = 255

// checkName admits one component.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return unix.EINVAL
	case len(name) > maxName:
		return unix.ENAMETOOLONG
	}
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return unix.EINVAL
		}
	}
	return nil
}

// errnoOf is the error that the guest sees.
func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	switch {
	case err == nil:
		return 0
	case errors.Is(err, fuse.ErrShort):
		return unix.EINVAL
	case errors.As(err, &errno) && errno != 0:
		return errno
	}
	return unix.EIO
}
