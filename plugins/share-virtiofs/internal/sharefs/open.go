//go:build linux

package sharefs

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// hostFlags are the flags of open(2) that reach the host; the guest's kernel acts on the others.
func (f *FS) hostFlags(flags uint32) int {
	access := int(flags & unix.O_ACCMODE)
	if !f.writeback.Load() {
		return access | int(flags&unix.O_APPEND) // an append is one, whoever else appends
	}
	if access == unix.O_WRONLY {
		return unix.O_RDWR // to fill pages that are written in part
	}
	return access
}

func writes(flags uint32) bool {
	return flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0
}

// open answers OPEN.
func (f *FS) open(q *Request) error {
	d := fuse.Decode(q.Body)
	flags, how := d.Uint32(), d.Uint32()
	if err := d.Err(); err != nil {
		return err
	}
	n, err := f.node(q.Header.Node)
	if err != nil {
		return err
	}
	if writes(flags) {
		if n.mount.ReadOnly {
			return unix.EROFS
		}
		if err := f.raiseAlone(n); err != nil {
			return err
		}
	}
	defer n.mount.look()()
	h, err := f.openNode(n, flags)
	if err != nil {
		return err
	}
	keep, err := f.opened(n, h, flags, how)
	if err != nil {
		f.table.closeHandle(h.id)
		return err
	}
	q.Reply = fuse.AppendOpenOut(q.Reply, h.id, keep)
	return nil
}

// opened does what an open has to do beside, and returns the flags of the answer.
func (f *FS) opened(n *node, h *handle, flags, how uint32) (uint32, error) {
	if flags&unix.O_TRUNC != 0 {
		if err := unix.Ftruncate(h.fd, 0); err != nil {
			return 0, err
		}
		if how&fuse.OpenKillSuidgid != 0 {
			if err := f.killBits(n, h.fd); err != nil {
				return 0, err
			}
		}
	}
	answer := uint32(0)
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		answer |= fuse.NoFlush
	}
	if n.mount.Always {
		return answer | fuse.KeepCache, nil
	}
	var st hostfs.Stat
	if err := hostfs.StatFD(h.fd, &st); err != nil {
		return 0, err
	}
	now := stampOf(&st)
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	if n.stamp == now {
		answer |= fuse.KeepCache
	}
	n.stamp = now
	return answer, nil
}

// openNode opens a regular file, without truncating it, since it is known for the right one only when it is open.
func (f *FS) openNode(n *node, flags uint32) (*handle, error) {
	if n.kind != unix.S_IFREG {
		return nil, unix.ENXIO
	}
	fd, err := f.openBody(n, f.hostFlags(flags))
	if errors.Is(err, unix.EACCES) && f.writeback.Load() && flags&unix.O_ACCMODE == unix.O_WRONLY {
		fd, err = f.openBody(n, unix.O_WRONLY)
	}
	if err != nil {
		return nil, err
	}
	return f.table.addHandle(n, fd, int(flags))
}

// openBody opens the file where a node's contents are.
func (f *FS) openBody(n *node, flags int) (int, error) {
	p := f.table.bodyOf(n)
	if d := f.table.openOf(p); d != nil {
		defer f.table.release(d)
		return hostfs.Reopen(d.fd, flags)
	}
	dir, name, err := f.table.holdDir(p)
	if err != nil {
		return -1, err
	}
	defer f.table.release(dir)
	fd, err := hostfs.Open(dir.fd, name, flags, 0)
	if err != nil {
		return -1, stale(err)
	}
	var st hostfs.Stat
	if err = hostfs.StatFD(fd, &st); err == nil && !f.table.keyOf(p).names(&st) {
		err = unix.ESTALE
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// create answers CREATE: the name is made and opened.
func (f *FS) create(q *Request) error {
	d := fuse.Decode(q.Body)
	flags, mode := d.Uint32(), d.Uint32()
	d.Skip(8)
	name := d.String()
	if err := d.Err(); err != nil {
		return err
	}
	h, err := f.createNew(q, name, flags, mode)
	if errors.Is(err, unix.EEXIST) && flags&unix.O_EXCL == 0 {
		h, err = f.openExisting(q, name, flags)
	}
	if err != nil {
		return err
	}
	q.Reply = fuse.AppendOpenOut(q.Reply, h.id, 0)
	return nil
}

func (f *FS) createNew(q *Request, name string, flags, mode uint32) (*handle, error) {
	b, err := f.conceive(q, name, mode&^unix.S_IFMT|unix.S_IFREG)
	if err != nil {
		return nil, err
	}
	defer b.done()
	fd, err := hostfs.Open(b.at.fd, name, unix.O_CREAT|unix.O_EXCL|f.hostFlags(flags), b.hostMode())
	if err != nil {
		return nil, err
	}
	n, err := f.deliver(q, b)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	h, err := f.table.addHandle(n, fd, int(flags))
	if err != nil {
		f.table.forget(n.id, 1)
		b.undo()
	}
	return h, err
}

// openExisting is for a name that has come from elsewhere since the guest looked.
func (f *FS) openExisting(q *Request, name string, flags uint32) (*handle, error) {
	dir, err := f.directory(q.Header.Node, name)
	if err != nil {
		return nil, err
	}
	n, err := f.entryNow(q, dir, name)
	if err != nil {
		return nil, err
	}
	var h *handle
	if writes(flags) {
		err = f.raiseAlone(n)
	}
	if err == nil {
		h, err = f.openNode(n, flags)
	}
	if err == nil && flags&unix.O_TRUNC != 0 {
		if err = unix.Ftruncate(h.fd, 0); err != nil {
			f.table.closeHandle(h.id)
		}
	}
	if err != nil {
		f.table.forget(n.id, 1)
	}
	return h, err
}

func (f *FS) entryNow(q *Request, dir *node, name string) (*node, error) {
	defer dir.mount.look()()
	q.Reply = q.Reply[:0]
	return f.entry(q, dir, name)
}

// tmpfile answers TMPFILE: a file without a name, until LINK gives it one.
func (f *FS) tmpfile(q *Request) error {
	d := fuse.Decode(q.Body)
	flags, mode := d.Uint32(), d.Uint32()
	if err := d.Err(); err != nil {
		return err
	}
	const anyName = "x"
	dir, err := f.writable(q.Header.Node, anyName)
	if err != nil {
		return err
	}
	defer dir.mount.change()()
	if err := f.raise(dir); err != nil {
		return err
	}
	front, _ := f.table.placesOf(dir)
	at, err := f.table.hold(front)
	if err != nil {
		return err
	}
	defer f.table.release(at)
	b := &newborn{dir: dir, at: at, mode: mode & permissions, kind: unix.S_IFREG}
	if b.record, err = f.ownerOf(q, b, mode&^unix.S_IFMT|unix.S_IFREG); err != nil {
		return err
	}
	access := f.hostFlags(flags) &^ unix.O_APPEND
	fd, err := hostfs.Open(at.fd, ".", unix.O_TMPFILE|access, b.hostMode())
	if err != nil {
		return err
	}
	n, err := f.enterNameless(q, b, fd)
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	h, err := f.table.addHandle(n, fd, int(flags))
	if err != nil {
		f.table.forget(n.id, 1)
		return err
	}
	q.Reply = fuse.AppendOpenOut(q.Reply, h.id, 0)
	return nil
}

// enterNameless makes the node of an open file that has no name.
func (f *FS) enterNameless(q *Request, b *newborn, fd int) (*node, error) {
	if b.record.Has != 0 {
		if err := hostfs.Setxattr(fd, share.RecordName, b.record.Encode(), 0); err != nil && !unrecordable(asErrno(err)) {
			return nil, err
		}
	}
	what := found{front: true, record: b.record}
	if err := hostfs.StatFD(fd, &what.stat); err != nil {
		return nil, err
	}
	path, err := hostfs.Reopen(fd, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	n, err := f.table.enter(b.dir, "", &what)
	if err != nil {
		_ = unix.Close(path)
		return nil, err
	}
	d := f.table.install(n.front, path)
	f.table.pin(n.front)
	f.table.nameless(n.front)
	f.table.release(d)
	a := attrOf(n, &what.stat, &b.record)
	q.Reply = fuse.AppendEntryOut(q.Reply, n.id, &a, n.mount.valid)
	return n, nil
}

// nameless notes that the name of a place no longer leads to it.
func (t *table) nameless(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.gone = true
}
