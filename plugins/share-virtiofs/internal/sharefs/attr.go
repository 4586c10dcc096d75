//go:build linux

package sharefs

import (
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// attrOf is what the guest sees of an inode.
func attrOf(n *node, st *hostfs.Stat, r *share.Record) fuse.Attr {
	a := fuse.Attr{
		Ino: n.ino, Size: st.Size, Blocks: st.Blocks, Mode: uint32(st.Mode), Nlink: st.Nlink,
		UID: n.mount.guestUID(st.Uid), GID: n.mount.guestGID(st.Gid),
		Rdev: uint32(unix.Mkdev(st.Rdev_major, st.Rdev_minor)), BlockSize: st.Blksize,
		Atime: timeOf(st.Atime), Mtime: timeOf(st.Mtime), Ctime: timeOf(st.Ctime),
	}
	if r.Has&share.HasUID != 0 {
		a.UID = r.UID
	}
	if r.Has&share.HasGID != 0 {
		a.GID = r.GID
	}
	a.Mode = a.Mode&^permissions | r.PermOf(a.Mode&permissions, n.isDir())
	if r.Has&share.HasBits != 0 {
		a.Mode |= r.Bits
	}
	if r.Has&share.HasKind != 0 && n.kind == unix.S_IFREG {
		a.Mode, a.Rdev, a.Size, a.Blocks = a.Mode&^unix.S_IFMT|r.Kind, r.Rdev, 0, 0
	}
	return a
}

func timeOf(t unix.StatxTimestamp) fuse.Time { return fuse.Time{Seconds: t.Sec, Nanoseconds: t.Nsec} }

// canHaveRecord tells whether an inode of the kind can have extended attributes of users.
func canHaveRecord(kind uint32) bool { return kind == unix.S_IFREG || kind == unix.S_IFDIR }

// recordAt reads the record of a name in a directory.
func recordAt(dir int, name string, kind uint32) share.Record {
	if !canHaveRecord(kind) {
		return share.Record{}
	}
	var b [share.MaxRecord]byte
	n, err := hostfs.GetxattrName(dir, name, share.RecordName, b[:])
	return understood(b[:max(n, 0)], err)
}

// recordOf reads the record of the inode behind a descriptor.
func recordOf(fd int, kind uint32) share.Record {
	if !canHaveRecord(kind) {
		return share.Record{}
	}
	var b [share.MaxRecord]byte
	n, err := hostfs.Getxattr(fd, share.RecordName, b[:])
	return understood(b[:max(n, 0)], err)
}

// understood takes an attribute that cannot be read, or makes no sense, for none.
func understood(text []byte, err error) share.Record {
	if err != nil || len(text) == 0 {
		return share.Record{}
	}
	r, err := share.ParseRecord(text)
	if err != nil {
		slog.Debug("a record is ignored", "error", err)
		return share.Record{}
	}
	return r
}

// uncounted is the number of links of a directory that does not tell how many directories are in it.
const uncounted = 1

// stat looks at a node, and makes of an overlay's what the guest has to see.
func (f *FS) stat(n *node, st *hostfs.Stat) (share.Record, error) {
	r, err := f.statBody(n, st)
	if err != nil || !n.mount.layered() {
		return r, err
	}
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	switch {
	case n.front != nil && n.back != nil && n.isDir():
		st.Nlink = uncounted
	case n.front == nil && n.back.gone && n.isDir():
		st.Nlink = 0
	case n.front == nil && n.back.gone:
		st.Nlink-- // the name that is hidden is still there
	}
	return r, nil
}

// statBody looks at a node's contents: by their descriptor or that of a file that the guest has open, else by name.
func (f *FS) statBody(n *node, st *hostfs.Stat) (share.Record, error) {
	p := f.table.bodyOf(n)
	if d := f.table.openOf(p); d != nil {
		defer f.table.release(d)
		err := hostfs.StatFD(d.fd, st)
		return f.remembered(n, recordOf(d.fd, n.kind)), err
	}
	if h := f.table.ofNode(n); h != nil {
		defer f.table.done(h)
		h.mu.RLock()
		defer h.mu.RUnlock()
		err := hostfs.StatFD(h.fd, st)
		return f.remembered(n, recordOf(h.fd, n.kind)), err
	}
	dir, name, err := f.table.holdDir(p)
	if err != nil {
		return share.Record{}, err
	}
	defer f.table.release(dir)
	if err := hostfs.StatName(dir.fd, name, st); err != nil {
		return share.Record{}, stale(err)
	}
	if !f.table.keyOf(p).names(st) {
		return share.Record{}, unix.ESTALE
	}
	return f.remembered(n, recordAt(dir.fd, name, n.kind)), nil
}

// remembered adds the record of an inode that cannot have one on disk.
func (f *FS) remembered(n *node, r share.Record) share.Record {
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	if n.memory.Has != 0 {
		return n.memory
	}
	return r
}

// getattr answers GETATTR.
func (f *FS) getattr(q *Request) error {
	d := fuse.Decode(q.Body)
	flags := d.Uint32()
	d.Skip(4)
	id := d.Uint64()
	if err := d.Err(); err != nil {
		return err
	}
	n, err := f.table.get(q.Header.Node)
	if err != nil {
		return err
	}
	if n.mount == nil {
		a := f.rootAttr()
		q.Reply = fuse.AppendAttrOut(q.Reply, &a, alwaysTime)
		return nil
	}
	if flags&fuse.GetattrHandle != 0 {
		h, err := f.table.handle(id)
		if err != nil {
			return err
		}
		defer f.table.done(h)
		n = h.node
	}
	return f.replyAttr(q, n)
}

// replyAttr answers with what a node is like now.
func (f *FS) replyAttr(q *Request, n *node) error {
	defer n.mount.look()()
	var st hostfs.Stat
	r, err := f.stat(n, &st)
	if err != nil {
		return err
	}
	a := attrOf(n, &st, &r)
	q.Reply = fuse.AppendAttrOut(q.Reply, &a, n.mount.valid)
	return nil
}

// rootAttr is what the device's root is like.
func (f *FS) rootAttr() fuse.Attr {
	const mode = unix.S_IFDIR | 0o555
	return fuse.Attr{Ino: rootID, Mode: mode, Nlink: uint32(2 + len(f.mounts)), BlockSize: 4096}
}
