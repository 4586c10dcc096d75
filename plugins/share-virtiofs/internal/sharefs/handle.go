//go:build linux

package sharefs

import (
	"sync"

	"golang.org/x/sys/unix"
)

// handle is an open file or directory of the guest's. A guest may close it on one queue while it reads on another, so users
// are counted: a number that is closed too early soon means another file.
type handle struct {
	id    uint64
	node  *node
	flags int // of open
	// Guarded by the table's lock.
	users int
	at    int // in the node's handles
	shut  bool

	mu  sync.RWMutex // guards fd, which an overlay exchanges when the file is copied up
	fd  int
	dir *listing // of a directory
}

// slot is a place for a handle. Its generation makes numbers of handles that are gone invalid.
type slot struct {
	handle     *handle
	generation uint32
}

// addHandle takes fd over, also when it fails.
func (t *table) addHandle(n *node, fd, flags int) (*handle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.addLocked(n, fd, flags)
}

func (t *table) addLocked(n *node, fd, flags int) (*handle, error) {
	if t.open >= t.maxHandles {
		_ = unix.Close(fd)
		return nil, unix.ENFILE
	}
	i := uint32(len(t.handles))
	if last := len(t.freeSlots) - 1; last >= 0 {
		i, t.freeSlots = t.freeSlots[last], t.freeSlots[:last]
	} else {
		t.handles = append(t.handles, slot{})
	}
	s := &t.handles[i]
	s.generation++
	s.handle = &handle{id: uint64(s.generation)<<32 | uint64(i), node: n, fd: fd, flags: flags, at: len(n.handles)}
	n.handles = append(n.handles, s.handle)
	t.open++
	return s.handle, nil
}

// addDir is addHandle for a directory.
func (t *table) addDir(n *node, fd int, list *listing) (*handle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dirs >= maxDirs || !t.holdListed(list) {
		_ = unix.Close(fd)
		return nil, unix.ENFILE
	}
	h, err := t.addLocked(n, fd, unix.O_RDONLY)
	if err != nil {
		t.listed -= list.held
		return nil, err
	}
	h.dir = list
	t.dirs++
	return h, nil
}

// holdListed counts the entries that a listing holds until it is closed, unless there are too many of them. The table is locked.
func (t *table) holdListed(l *listing) bool {
	if !l.merged {
		return true
	}
	now := t.listed - l.held + len(l.entries)
	if now > maxListed {
		return false
	}
	t.listed, l.held = now, len(l.entries)
	return true
}

// handle returns the handle of a number that the guest sent, to be returned by done.
func (t *table) handle(id uint64) (*handle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.lookupHandle(id)
	if h == nil {
		return nil, unix.EBADF
	}
	h.users++
	return h, nil
}

func (t *table) lookupHandle(id uint64) *handle {
	i := id & (1<<32 - 1)
	if i >= uint64(len(t.handles)) || t.handles[i].handle == nil || t.handles[i].handle.id != id {
		return nil
	}
	return t.handles[i].handle
}

// ofNode returns some handle of a node, nil if it has none.
func (t *table) ofNode(n *node) *handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(n.handles) == 0 {
		return nil
	}
	h := n.handles[len(n.handles)-1]
	h.users++
	return h
}

func (t *table) done(h *handle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.users--
	if h.users == 0 && h.shut {
		_ = unix.Close(h.fd)
	}
}

// closeHandle ends a handle. The descriptor goes with its last user.
func (t *table) closeHandle(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.lookupHandle(id); h != nil {
		t.dropHandle(h)
		t.prune(h.node)
	}
}

func (t *table) dropHandle(h *handle) {
	i := uint32(h.id)
	t.handles[i].handle = nil
	t.freeSlots = append(t.freeSlots, i)
	t.open--
	if h.dir != nil {
		t.dirs--
		t.listed -= h.dir.held
	}
	list, last := h.node.handles, len(h.node.handles)-1
	list[h.at], list[last].at = list[last], h.at
	list[last] = nil
	h.node.handles = list[:last]
	h.shut = true
	if h.users == 0 {
		_ = unix.Close(h.fd)
	}
}
