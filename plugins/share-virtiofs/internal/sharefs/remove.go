//go:build linux

package sharefs

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
)

// unlink answers UNLINK, rmdir RMDIR.
func (f *FS) unlink(q *Request) error { return f.remove(q, 0) }
func (f *FS) rmdir(q *Request) error  { return f.remove(q, unix.AT_REMOVEDIR) }

func (f *FS) remove(q *Request, flags int) error {
	d := fuse.Decode(q.Body)
	name := d.String()
	if err := d.Err(); err != nil {
		return err
	}
	dir, err := f.writable(q.Header.Node, name)
	if err != nil {
		return err
	}
	defer dir.mount.change()()
	if dir.mount.layered() {
		return f.removeLayered(dir, name, flags)
	}
	front, _ := f.table.placesOf(dir)
	at, err := f.table.hold(front)
	if err != nil {
		return err
	}
	defer f.table.release(at)
	lost := f.keep(dir.mount, front, at, name)
	defer lost.done()
	if err := unix.Unlinkat(at.fd, name, flags); err != nil {
		return err
	}
	lost.gone()
	return nil
}

// keeper holds what is about to lose a name.
type keeper struct {
	t     *table
	place *place
	held  *descriptor
}

// keep opens what the name leads to, if the guest knows it, so that it stays reachable without the name.
func (f *FS) keep(m *mount, dir *place, at *descriptor, name string) keeper {
	var st hostfs.Stat
	if hostfs.StatName(at.fd, name, &st) != nil {
		return keeper{}
	}
	p := f.table.placeAt(keyOf(m, &st), dir, name)
	if p == nil {
		return keeper{}
	}
	held := f.table.openOf(p)
	if held == nil {
		var err error
		if held, err = f.table.reopen(at, p, name); err != nil {
			return keeper{}
		}
	}
	return keeper{t: f.table, place: p, held: held}
}

// placeAt returns the place of an inode if it is by this name that it would be found.
func (t *table) placeAt(k key, dir *place, name string) *place {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byKey[k]
	if n == nil || n.front == nil || n.front.dir != dir || n.front.name != name {
		return nil
	}
	return n.front
}

// gone notes that the name was removed. The file may have another one, but we do not know it.
func (k *keeper) gone() {
	if k.held == nil {
		return
	}
	k.t.pin(k.place)
	k.t.nameless(k.place)
}

func (k *keeper) done() {
	if k.held != nil {
		k.t.release(k.held)
	}
}

// rename answers RENAME and RENAME2.
func (f *FS) rename(q *Request) error {
	d := fuse.Decode(q.Body)
	to, flags := d.Uint64(), uint32(0)
	if q.Header.Opcode == fuse.Rename2 {
		flags = d.Uint32()
		d.Skip(4)
	}
	name, newName := d.String(), d.String()
	if err := d.Err(); err != nil {
		return err
	}
	from, err := f.writable(q.Header.Node, name)
	if err != nil {
		return err
	}
	into, err := f.writable(to, newName)
	if err != nil {
		return err
	}
	switch {
	case from.mount != into.mount:
		return unix.EXDEV
	case flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0:
		return unix.EINVAL
	}
	defer from.mount.change()()
	m := &move{f: f, from: from, into: into, name: name, newName: newName, flags: flags}
	if from.mount.layered() {
		return m.layered()
	}
	return m.run()
}

// move is a rename under way.
type move struct {
	f             *FS
	from, into    *node
	name, newName string
	flags         uint32
}

// run renames in front.
func (m *move) run() error {
	t := m.f.table
	fromPlace, _ := t.placesOf(m.from)
	intoPlace, _ := t.placesOf(m.into)
	from, err := t.hold(fromPlace)
	if err != nil {
		return err
	}
	defer t.release(from)
	into, err := t.hold(intoPlace)
	if err != nil {
		return err
	}
	defer t.release(into)
	var lost keeper
	if m.flags&unix.RENAME_EXCHANGE == 0 {
		lost = m.f.keep(m.into.mount, intoPlace, into, m.newName)
		defer lost.done()
	}
	if err := unix.Renameat2(from.fd, m.name, into.fd, m.newName, uint(m.flags)); err != nil {
		return err
	}
	lost.gone()
	errs := m.f.follow(m.into, into, m.newName)
	if m.flags&unix.RENAME_EXCHANGE != 0 {
		errs = errors.Join(errs, m.f.follow(m.from, from, m.name))
	}
	_ = errs // the guest looks it up again
	return nil
}

// follow notes that an inode is now found by name in dir.
func (f *FS) follow(dir *node, at *descriptor, name string) error {
	what := found{front: true}
	if err := hostfs.StatName(at.fd, name, &what.stat); err != nil {
		return err
	}
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	if n := f.table.byKey[keyOf(dir.mount, &what.stat)]; n != nil && n.parent != nil {
		f.table.move(n, dir, name, &what)
	}
	return nil
}
