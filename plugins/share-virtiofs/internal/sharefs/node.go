//go:build linux

package sharefs

import (
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// key tells inodes of the host apart. The time of birth is in it because numbers are used again.
type key struct {
	mount    uint32
	dev, ino uint64
	born     int64
}

func keyOf(m *mount, st *hostfs.Stat) key {
	k := key{mount: m.index, dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		k.born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return k
}

// place is where a node's inode is found on the host. What it says is guarded by the table's lock.
type place struct {
	dir  *place // of the directory; nil for a root, which is always open
	name string
	key  key
	open *descriptor // nil while closed
	gone bool        // the name was removed: the descriptor is all that is left
}

// node is an inode that the guest knows, or a directory above one.
type node struct {
	id    uint64
	mount *mount // nil for the device's root
	kind  uint32 // S_IFMT on the host
	ino   uint64 // as the guest sees it, for good

	// What follows is guarded by the table's lock.
	parent  *node  // nil for roots
	front   *place // in the directory that takes changes; nil for what is only below, in an overlay
	back    *place // overlay: what is below; nil for what is not
	lookups uint64
	kids    int
	handles []*handle
	stamp   stamp

	// memory is the record of an inode that cannot have extended attributes.
	memory share.Record
}

// stamp tells whether a file was changed since the guest has last opened it.
type stamp struct {
	size         uint64
	mtime, ctime int64
}

func stampOf(st *hostfs.Stat) stamp {
	return stamp{st.Size, st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec), st.Ctime.Sec*1e9 + int64(st.Ctime.Nsec)}
}

// body is the place where the node's contents are.
func (n *node) body() *place {
	if n.front != nil {
		return n.front
	}
	return n.back
}

func (n *node) isDir() bool { return n.kind == unix.S_IFDIR }
