//go:build linux

package sharefs

import (
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// What a directory of an overlay shows of the one below it has to be in front before it can be moved. That takes a copy, during which
// the mount is held, so there are bounds. Beyond them the guest gets EXDEV, as from overlayfs, and mv(1) copies by itself.
const (
	maxDetached      = 16 << 10 // names
	maxDetachedBytes = 1 << 30
)

// detach makes a directory whole in front, with all that is seen in it. It is in front itself.
func (f *FS) detach(n *node) error {
	if !n.isDir() {
		return nil
	}
	t := tally{names: maxDetached, bytes: maxDetachedBytes}
	if err := f.tally(n, &t); err != nil {
		return err
	}
	return f.makeWhole(n)
}

// tally is what may still be copied.
type tally struct {
	names int
	bytes int64
}

// tally finds out whether a directory's tree is within the bounds.
func (f *FS) tally(dir *node, left *tally) error {
	return f.eachSeen(dir, func(n *node, size int64) error {
		left.names--
		if front, _ := f.table.placesOf(n); front == nil && n.kind == unix.S_IFREG {
			left.bytes -= size
		}
		if left.names < 0 || left.bytes < 0 {
			return unix.EXDEV
		}
		return f.tally(n, left)
	})
}

// makeWhole copies what is seen in a directory, and lets go of what is below it. Whenever it ends, the guest sees what it saw.
func (f *FS) makeWhole(dir *node) error {
	front, back := f.table.placesOf(dir)
	if !dir.isDir() || back == nil {
		return nil
	}
	err := f.eachSeen(dir, func(n *node, _ int64) error {
		if err := f.raise(n); err != nil {
			return err
		}
		return f.makeWhole(n)
	})
	if err != nil {
		return err
	}
	if err := f.withBody(dir, makeOpaque); err != nil {
		return err
	}
	f.table.mu.Lock()
	f.table.shut(back)
	dir.back = nil
	f.table.mu.Unlock()
	return f.removeWhiteouts(front)
}

// makeOpaque has the directory behind a descriptor hide the one below.
func makeOpaque(fd int) error {
	r := recordOf(fd, unix.S_IFDIR)
	r.Has |= share.Opaque
	return hostfs.Setxattr(fd, share.RecordName, r.Encode(), 0)
}

// eachSeen calls fn for everything that the guest sees in a directory which shows one below.
func (f *FS) eachSeen(dir *node, fn func(n *node, size int64) error) error {
	front, back := f.table.placesOf(dir)
	if !dir.isDir() || back == nil {
		return nil
	}
	list, err := f.merge(dir, front, back)
	if err != nil {
		return err
	}
	for _, e := range list.entries {
		if e.Name == "." || e.Name == ".." {
			continue
		}
		n, a, err := f.look(dir, e.Name)
		if err != nil {
			return err
		}
		err = fn(n, int64(a.Size))
		f.table.forget(n.id, 1)
		if err != nil {
			return err
		}
	}
	return nil
}
