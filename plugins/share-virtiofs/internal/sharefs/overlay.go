//go:build linux

package sharefs

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// CheckUpper tells whether a directory can be the upper one of an overlay: its file system must have what is used there.
func CheckUpper(fd int) error {
	test := share.Record{Has: share.Opaque}
	if err := hostfs.Setxattr(fd, share.HiddenPrefix+"check", test.Encode(), 0); err != nil {
		return err
	}
	_ = hostfs.Removexattr(fd, share.HiddenPrefix+"check")
	file, err := hostfs.Open(fd, ".", unix.O_TMPFILE|unix.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return unix.Close(file)
}

// vacate makes sure that a name is free: in an overlay, with the whiteout taken away that may hide what is below. The mount is
// held for a change.
func (f *FS) vacate(b *newborn) error {
	if !b.dir.mount.layered() {
		return nil
	}
	if err := f.raise(b.dir); err != nil {
		return err
	}
	var what found
	switch err := f.find(b.dir, b.name, &what); {
	case err == nil:
		return unix.EEXIST
	case !errors.Is(err, unix.ENOENT):
		return err
	}
	var err error
	b.covered, err = f.uncover(b.dir, b.name)
	return err
}

// uncover removes the whiteout of a name, if there is one.
func (f *FS) uncover(dir *node, name string) (bool, error) {
	front, _ := f.table.placesOf(dir)
	at, err := f.table.hold(front)
	if err != nil {
		return false, err
	}
	defer f.table.release(at)
	if r := recordAt(at.fd, name, unix.S_IFREG); r.Has&share.Whiteout == 0 {
		return false, nil
	}
	return true, unix.Unlinkat(at.fd, name, 0)
}

// cover makes a whiteout if there is something below a name. The directory is in front, and the name is not.
func (f *FS) cover(dir *node, name string) error {
	front, back := f.table.placesOf(dir)
	if back == nil || !f.below(back, name) {
		return nil
	}
	at, err := f.table.hold(front)
	if err != nil {
		return err
	}
	defer f.table.release(at)
	fd, err := hostfs.Open(at.fd, ".", unix.O_TMPFILE|unix.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r := share.Record{Has: share.Whiteout}
	if err := hostfs.Setxattr(fd, share.RecordName, r.Encode(), 0); err != nil {
		return err
	}
	return hostfs.Link(fd, at.fd, name)
}

// below tells whether a lower directory has a name.
func (f *FS) below(back *place, name string) bool {
	var st hostfs.Stat
	var r share.Record
	return f.findIn(back, name, &st, &r) == nil
}

// removeLayered removes a name of an overlay. The mount is held for a change.
func (f *FS) removeLayered(dir *node, name string, flags int) error {
	n, done, err := f.visit(dir, name)
	if err != nil {
		return err
	}
	defer done()
	switch wantDir := flags == unix.AT_REMOVEDIR; {
	case wantDir && !n.isDir():
		return unix.ENOTDIR
	case !wantDir && n.isDir():
		return unix.EISDIR
	case wantDir:
		if err := f.empty(n); err != nil {
			return err
		}
	}
	if err := f.raise(dir); err != nil {
		return err
	}
	if err := f.removeFront(dir, n, name, flags); err != nil {
		return err
	}
	return f.cover(dir, name)
}

// visit looks a name up for ourselves.
func (f *FS) visit(dir *node, name string) (n *node, done func(), err error) {
	n, _, err = f.look(dir, name)
	if err != nil {
		return nil, nil, err
	}
	return n, func() { f.table.forget(n.id, 1) }, nil
}

// removeFront removes what is in front under a name, and lets go of what is below.
func (f *FS) removeFront(dir, n *node, name string, flags int) error {
	front, back := f.table.placesOf(n)
	if front == nil {
		return f.lose(back)
	}
	into, _ := f.table.placesOf(dir)
	at, err := f.table.hold(into)
	if err != nil {
		return err
	}
	defer f.table.release(at)
	lost := f.keep(dir.mount, into, at, name)
	defer lost.done()
	if err := unix.Unlinkat(at.fd, name, flags); err != nil {
		return err
	}
	lost.gone()
	return nil
}

// lose keeps what a place leads to, which is about to be hidden.
func (f *FS) lose(p *place) error {
	d, err := f.table.hold(p)
	if err != nil {
		return err
	}
	defer f.table.release(d)
	f.table.pin(p)
	f.table.nameless(p)
	return nil
}

// visiblyEmpty makes sure that the guest sees nothing in a directory.
func (f *FS) visiblyEmpty(n *node) error {
	front, back := f.table.placesOf(n)
	list, err := f.merge(n, front, back)
	if err != nil {
		return err
	}
	for _, e := range list.entries {
		if e.Name != "." && e.Name != ".." {
			return unix.ENOTEMPTY
		}
	}
	return nil
}

// empty makes sure of that, and then that there is nothing in front.
func (f *FS) empty(n *node) error {
	if err := f.visiblyEmpty(n); err != nil {
		return err
	}
	front, _ := f.table.placesOf(n)
	if front == nil {
		return nil
	}
	return f.removeWhiteouts(front)
}

// removeWhiteouts removes them from a directory in front that hides nothing any more.
func (f *FS) removeWhiteouts(front *place) error {
	at, err := f.table.hold(front)
	if err != nil {
		return err
	}
	defer f.table.release(at)
	entries, err := readAll(at.fd)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type != unix.DT_REG || recordAt(at.fd, e.Name, unix.S_IFREG).Has&share.Whiteout == 0 {
			continue
		}
		if err := unix.Unlinkat(at.fd, e.Name, 0); err != nil {
			return err
		}
	}
	return nil
}

// layered renames in an overlay. A directory that shows one below is made whole first.
func (m *move) layered() error {
	f := m.f
	source, done, err := f.visit(m.from, m.name)
	if err != nil {
		return err
	}
	defer done()
	target, done, err := f.visit(m.into, m.newName)
	switch {
	case errors.Is(err, unix.ENOENT):
		target = nil
	case err != nil:
		return err
	default:
		defer done()
	}
	if err := m.check(source, target); err != nil {
		return err
	}
	exchange := m.flags&unix.RENAME_EXCHANGE != 0
	for _, n := range []*node{m.from, m.into, source, target} {
		if n == nil || n == target && !exchange {
			continue
		}
		if err := f.raise(n); err != nil {
			return err
		}
	}
	for _, n := range []*node{source, target} {
		if n == nil || n == target && !exchange {
			continue
		}
		if err := f.detach(n); err != nil {
			return err
		}
	}
	if err := m.clear(source, target); err != nil {
		return err
	}
	if err := m.isolate(source, m.into, m.newName); err != nil {
		return err
	}
	if exchange {
		if err := m.isolate(target, m.from, m.name); err != nil {
			return err
		}
	}
	m.flags &= unix.RENAME_EXCHANGE
	if err := m.run(); err != nil || exchange {
		return err
	}
	return f.cover(m.from, m.name)
}

// check judges a rename by what the guest sees (rename(2)).
func (m *move) check(source, target *node) error {
	exchange := m.flags&unix.RENAME_EXCHANGE != 0
	switch {
	case target == nil && exchange:
		return unix.ENOENT
	case target == nil:
		return nil
	case m.flags&unix.RENAME_NOREPLACE != 0:
		return unix.EEXIST
	case exchange:
		return nil
	case source.isDir() && !target.isDir():
		return unix.ENOTDIR
	case !source.isDir() && target.isDir():
		return unix.EISDIR
	case target != source && target.isDir():
		return m.f.visiblyEmpty(target)
	}
	return nil
}

// clear takes away what would stand in the way of the host's rename at the new name.
func (m *move) clear(source, target *node) error {
	if m.flags&unix.RENAME_EXCHANGE != 0 {
		return nil
	}
	switch {
	case target == nil:
		_, err := m.f.uncover(m.into, m.newName)
		return err
	case target == source:
		return nil
	case target.isDir():
		if err := m.f.empty(target); err != nil {
			return err
		}
	}
	if front, back := m.f.table.placesOf(target); front == nil {
		return m.f.lose(back)
	}
	return nil
}

// isolate makes a directory opaque that comes to a name below which there is something.
func (m *move) isolate(n, dir *node, name string) error {
	_, back := m.f.table.placesOf(dir)
	if !n.isDir() || back == nil || !m.f.below(back, name) {
		return nil
	}
	return m.f.withBody(n, makeOpaque)
}
