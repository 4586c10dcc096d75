//go:build linux

package sharefs

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// find looks for a name in a directory. The mount is held still.
func (f *FS) find(dir *node, name string, into *found) error {
	front, back := f.table.placesOf(dir)
	if front != nil {
		err := f.findIn(front, name, &into.stat, &into.record)
		switch {
		case err == nil && into.record.Has&share.Whiteout != 0:
			return unix.ENOENT
		case err == nil:
			into.front = true
		case !errors.Is(err, unix.ENOENT):
			return err
		}
	}
	if back == nil {
		if !into.front {
			return unix.ENOENT
		}
		return nil
	}
	return f.findBelow(back, name, into)
}

// findBelow looks for what is below a name of an overlay: the file itself, or the directory that is seen through that in front.
func (f *FS) findBelow(back *place, name string, into *found) error {
	if into.front && (into.stat.Mode&unix.S_IFMT != unix.S_IFDIR || into.record.Has&share.Opaque != 0) {
		return nil
	}
	var st hostfs.Stat
	var r share.Record
	switch err := f.findIn(back, name, &st, &r); {
	case errors.Is(err, unix.ENOENT) && into.front:
		return nil
	case err != nil:
		return err
	case into.front && st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return nil
	}
	into.back, into.below = true, key{}
	if !into.front {
		into.stat, into.record = st, r
	}
	into.below = keyOf(&mount{index: back.key.mount}, &st)
	return nil
}

// findIn looks for a name in one directory of the host.
func (f *FS) findIn(p *place, name string, st *hostfs.Stat, r *share.Record) error {
	dir, err := f.table.hold(p)
	if err != nil {
		return err
	}
	defer f.table.release(dir)
	if err := hostfs.StatName(dir.fd, name, st); err != nil {
		return err
	}
	*r = recordAt(dir.fd, name, uint32(st.Mode)&unix.S_IFMT)
	return nil
}

func (t *table) placesOf(n *node) (front, back *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.front, n.back
}

// look finds a name and counts a lookup of the guest.
func (f *FS) look(dir *node, name string) (*node, fuse.Attr, error) {
	var what found
	if err := f.find(dir, name, &what); err != nil {
		return nil, fuse.Attr{}, err
	}
	if what.front && what.back {
		what.stat.Nlink = uncounted
	}
	n, err := f.table.enter(dir, name, &what)
	if err != nil {
		return nil, fuse.Attr{}, err
	}
	r := f.remembered(n, what.record)
	return n, attrOf(n, &what.stat, &r), nil
}

// lookup answers LOOKUP.
func (f *FS) lookup(q *Request) error {
	d := fuse.Decode(q.Body)
	name := d.String()
	if err := d.Err(); err != nil {
		return err
	}
	if q.Header.Node == rootID {
		return f.lookupMount(q, name)
	}
	dir, err := f.directory(q.Header.Node, name)
	if err != nil {
		return err
	}
	defer dir.mount.look()()
	n, a, err := f.look(dir, name)
	switch {
	case errors.Is(err, unix.ENOENT):
		q.Reply = fuse.AppendEntryOut(q.Reply, 0, &fuse.Attr{}, dir.mount.valid)
		return nil
	case err != nil:
		return err
	}
	q.Reply = fuse.AppendEntryOut(q.Reply, n.id, &a, n.mount.valid)
	return nil
}

// lookupMount finds a mount by its tag.
func (f *FS) lookupMount(q *Request, tag string) error {
	for _, m := range f.mounts {
		if m.Tag != tag {
			continue
		}
		var st hostfs.Stat
		r, err := f.stat(m.root, &st)
		if err != nil {
			return err
		}
		a := attrOf(m.root, &st, &r)
		q.Reply = fuse.AppendEntryOut(q.Reply, m.root.id, &a, m.valid)
		return nil
	}
	return unix.ENOENT
}

// entry answers with what has just been made by name in dir.
func (f *FS) entry(q *Request, dir *node, name string) (*node, error) {
	n, a, err := f.look(dir, name)
	if err != nil {
		return nil, err
	}
	q.Reply = fuse.AppendEntryOut(q.Reply, n.id, &a, n.mount.valid)
	return n, nil
}

// forget answers FORGET and BATCH_FORGET, which is to say that it does not.
func (f *FS) forget(q *Request) {
	d := fuse.Decode(q.Body)
	if q.Header.Opcode == fuse.Forget {
		f.table.forget(q.Header.Node, d.Uint64())
		return
	}
	n := d.Uint32()
	d.Skip(4)
	for ; n > 0 && d.Err() == nil; n-- {
		id := d.Uint64()
		f.table.forget(id, d.Uint64())
	}
}
