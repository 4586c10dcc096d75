//go:build linux

package sharefs

import (
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// The guest's kernel has already judged what reaches us: it checks permissions by itself, and lets root pass. When the host then
// refuses, because an ordinary user is bound by the mode of its own files and the guest's root is not by it, the mode becomes a virtual
// one: the host's gets what its owner needs, and the record says what the guest sees.

// loosen does that for the files that a refused message is about, and the directories above them. It tells whether to try again.
func (f *FS) loosen(q *Request) bool {
	f.loosening.Lock()
	defer f.loosening.Unlock()
	again := false
	for _, id := range f.concerned(q) {
		n, err := f.node(id)
		if err != nil || n.mount.ReadOnly {
			continue
		}
		unlock := n.mount.change()
		again = f.loosenUpwards(n) || again
		unlock()
	}
	return again
}

// concerned are the inodes that a message names.
func (f *FS) concerned(q *Request) []uint64 {
	ids := []uint64{q.Header.Node}
	switch q.Header.Opcode {
	case fuse.Rename, fuse.Rename2, fuse.Link: // the other directory, or the file
		d := fuse.Decode(q.Body)
		ids = append(ids, d.Uint64())
	}
	return ids
}

// loosenUpwards begins with the root, since what is below cannot be reached otherwise.
func (f *FS) loosenUpwards(n *node) bool {
	f.table.mu.Lock()
	up := n.parent
	f.table.mu.Unlock()
	again := up != nil && f.loosenUpwards(up)
	return f.loosenOne(n) || again
}

func (f *FS) loosenOne(n *node) bool {
	front, _ := f.table.placesOf(n)
	if front == nil || !canHaveRecord(n.kind) {
		return false
	}
	d, err := f.table.hold(front)
	if err != nil {
		return false
	}
	defer f.table.release(d)
	var st hostfs.Stat
	if err := hostfs.StatFD(d.fd, &st); err != nil || st.Uid != f.self.HostUID {
		return false
	}
	perm := uint32(st.Mode) & permissions
	loose := share.OwnerNeeds(n.isDir())
	if perm&loose == loose {
		return true // somebody else was quicker
	}
	if hostfs.Chmod(d.fd, perm|loose) != nil {
		return false
	}
	r := recordOf(d.fd, n.kind)
	recordable(&r, perm, n.isDir())
	return f.setRecord(n, d.fd, r) == nil
}
