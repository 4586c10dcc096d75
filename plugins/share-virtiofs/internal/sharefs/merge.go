//go:build linux

package sharefs

import (
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// merge lists what the guest sees of a directory: what is in front, and what is below and not hidden. Either may be nil.
func (f *FS) merge(n *node, front, back *place) (*listing, error) {
	list := &listing{merged: true}
	seen := map[string]bool{}
	for _, p := range []*place{front, back} {
		if p == nil {
			continue
		}
		d, err := f.table.hold(p)
		if err != nil {
			return nil, err
		}
		entries, err := readAll(d.fd)
		for _, e := range entries {
			if seen[e.Name] {
				continue
			}
			seen[e.Name] = true
			if p == front && e.Type == unix.DT_REG && recordAt(d.fd, e.Name, unix.S_IFREG).Has&share.Whiteout != 0 {
				continue
			}
			f.correct(n, d.fd, f.table.keyOf(p).dev, &e, p == back)
			list.entries = append(list.entries, e)
		}
		f.table.release(d)
		if err != nil {
			return nil, err
		}
	}
	list.number()
	return list, nil
}

// mergeAgain is for a guest that reads an open directory once more from the start. The listing and the mount are held.
func (f *FS) mergeAgain(h *handle) error {
	front, back := f.table.placesOf(h.node)
	now, err := f.merge(h.node, front, back)
	if err != nil {
		return err
	}
	was := h.dir.entries
	h.dir.entries = now.entries
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	if !f.table.holdListed(h.dir) {
		h.dir.entries = was
		return unix.ENFILE
	}
	return nil
}

// readAll reads the directory behind a descriptor of O_PATH.
func readAll(path int) ([]fuse.Dirent, error) {
	fd, err := hostfs.Reopen(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var all []fuse.Dirent
	for buf := make([]byte, listBuffer); ; {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n == 0 {
			return all, err
		}
		if all, err = parseDirents(all, buf[:n]); err != nil {
			return nil, err
		}
	}
}
