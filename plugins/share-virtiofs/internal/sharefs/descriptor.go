//go:build linux

package sharefs

import (
	"container/list"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
)

// descriptor is an open descriptor of O_PATH, of which there are fewer than nodes: those that were not used for the longest
// time are closed, and opened again by the name in their directory.
type descriptor struct {
	fd    int
	place *place
	users int
	used  *list.Element // in the table's list; nil for those that must stay open
}

// maxDepth bounds how many directories in a row are opened again, should the host have moved them into a circle.
const maxDepth = 16384

// hold returns the descriptor of a place, opened if need be; release it after use.
func (t *table) hold(p *place) (*descriptor, error) {
	type step struct {
		place *place
		name  string
	}
	var missing []step
	t.mu.Lock()
	for p.open == nil {
		if p.dir == nil || p.gone || len(missing) == maxDepth {
			t.mu.Unlock()
			return nil, unix.ESTALE
		}
		missing = append(missing, step{p, p.name})
		p = p.dir
	}
	d := p.open
	t.use(d)
	t.mu.Unlock()
	for i := len(missing) - 1; i >= 0; i-- {
		next, err := t.reopen(d, missing[i].place, missing[i].name)
		t.release(d)
		if err != nil {
			return nil, err
		}
		d = next
	}
	return d, nil
}

// reopen opens the place that has the name in a directory, if it is still the same inode.
func (t *table) reopen(dir *descriptor, p *place, name string) (*descriptor, error) {
	fd, err := hostfs.OpenPath(dir.fd, name)
	if err != nil {
		return nil, stale(err)
	}
	var st hostfs.Stat
	if err := hostfs.StatFD(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, stale(err)
	}
	if !p.key.names(&st) {
		_ = unix.Close(fd)
		return nil, unix.ESTALE
	}
	return t.install(p, fd), nil
}

// names tells whether k is the key of the inode.
func (k key) names(st *hostfs.Stat) bool {
	return k == keyOf(&mount{index: k.mount}, st)
}

// stale turns the error of a name that no longer leads to its inode into the one that makes the guest look it up again.
func stale(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return unix.ESTALE
	}
	return err
}

// install makes fd the descriptor of a place and holds it, unless somebody else was quicker.
func (t *table) install(p *place, fd int) *descriptor {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.open != nil {
		_ = unix.Close(fd)
	} else {
		p.open = &descriptor{fd: fd, place: p}
		p.open.used = t.recent.PushFront(p.open)
		t.evict()
	}
	t.use(p.open)
	return p.open
}

// use counts a user. The table is locked.
func (t *table) use(d *descriptor) {
	d.users++
	if d.used != nil {
		t.recent.MoveToFront(d.used)
	}
}

// release ends a use.
func (t *table) release(d *descriptor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d.users--
	if d.users == 0 && d.place == nil {
		_ = unix.Close(d.fd)
	}
}

// evict closes what was not used for the longest time until there are few enough. The table is locked.
func (t *table) evict() {
	for e := t.recent.Back(); e != nil && t.recent.Len() > t.maxOpen; {
		d, before := e.Value.(*descriptor), e.Prev()
		if d.users == 0 {
			t.shut(d.place)
		}
		e = before
	}
}

// shut takes the descriptor from a place, and closes it once nobody uses it. The table is locked.
func (t *table) shut(p *place) {
	d := p.open
	if d == nil {
		return
	}
	p.open, d.place = nil, nil
	if d.used != nil {
		t.recent.Remove(d.used)
		d.used = nil
	} else {
		t.pinned--
	}
	if d.users == 0 {
		_ = unix.Close(d.fd)
	}
}

// pin keeps the descriptor of a place open: it is about to lose its name. Beyond the limit it is left to its fate, and the guest
// gets ESTALE for a file that it has removed. The place is held.
func (t *table) pin(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := p.open
	if d == nil || d.used == nil || t.pinned >= t.maxPinned {
		return
	}
	t.recent.Remove(d.used)
	d.used = nil
	t.pinned++
}

// unpin is for a place that has got a name again. The table is locked.
func (t *table) unpin(p *place) {
	if d := p.open; d != nil && d.used == nil {
		d.used = t.recent.PushFront(d)
		t.pinned--
	}
}
