//go:build linux

package sharefs

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// raiseAlone is raise for those who do not hold the mount.
func (f *FS) raiseAlone(n *node) error {
	defer n.mount.change()()
	return f.raise(n)
}

// raise makes sure that a node is in front, copied from below if need be, with the directories above it. The mount is held for
// a change.
func (f *FS) raise(n *node) error {
	front, back := f.table.placesOf(n)
	if front != nil {
		return nil
	}
	f.table.mu.Lock()
	parent, name, gone := n.parent, back.name, back.gone
	f.table.mu.Unlock()
	if parent == nil {
		return unix.ESTALE
	}
	if err := f.raise(parent); err != nil {
		return err
	}
	from, err := f.table.hold(back)
	if err != nil {
		return err
	}
	defer f.table.release(from)
	into, _ := f.table.placesOf(parent)
	at, err := f.table.hold(into)
	if err != nil {
		return err
	}
	defer f.table.release(at)
	c := &copying{f: f, n: n, from: from.fd, at: at.fd, name: name, nameless: gone}
	if err := c.prepare(); err != nil {
		return err
	}
	path, err := c.run()
	if err != nil {
		return err
	}
	return f.arrive(n, into, name, gone, path)
}

// arrive gives a node its place in front, of which path is a descriptor of O_PATH, and its open files the new contents.
func (f *FS) arrive(n *node, into *place, name string, gone bool, path int) error {
	var st hostfs.Stat
	if err := hostfs.StatFD(path, &st); err != nil {
		_ = unix.Close(path)
		return err
	}
	t := f.table
	t.mu.Lock()
	n.front = &place{dir: into, name: name, key: keyOf(n.mount, &st), gone: gone}
	if t.byKey[n.back.key] == n {
		delete(t.byKey, n.back.key)
	}
	t.byKey[n.front.key] = n
	handles := append([]*handle(nil), n.handles...)
	for _, h := range handles {
		h.users++
	}
	t.mu.Unlock()
	d := t.install(n.front, path)
	defer t.release(d)
	if gone {
		t.pin(n.front)
	}
	for _, h := range handles {
		if h.dir == nil {
			h.follow(d.fd)
		}
		t.done(h)
	}
	return nil
}

// follow makes a handle one of the file that path stands for.
func (h *handle) follow(path int) {
	fd, err := hostfs.Reopen(path, unix.O_RDONLY)
	if err != nil {
		return // it goes on with what it has
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = unix.Close(h.fd)
	h.fd = fd
}

// copying brings one inode to the front.
type copying struct {
	f        *FS
	n        *node
	from, at int // descriptors: the inode below, and the directory in front
	name     string
	nameless bool

	stat   hostfs.Stat
	record share.Record
	mode   uint32 // on the host
}

// prepare works out what the copy's record has to say, so that the guest notices nothing.
func (c *copying) prepare() error {
	if err := hostfs.StatFD(c.from, &c.stat); err != nil {
		return err
	}
	was := c.f.remembered(c.n, recordOf(c.from, c.n.kind))
	a := attrOf(c.n, &c.stat, &was)
	m := c.n.mount
	r := was
	r.Has &^= share.Whiteout | share.Opaque
	set(&r, share.HasUID, &r.UID, a.UID, m.guestUID(c.f.self.HostUID))
	set(&r, share.HasGID, &r.GID, a.GID, m.guestGID(c.f.self.HostGID))
	set(&r, share.HasBits, &r.Bits, a.Mode&share.SpecialBits, 0)
	if share.IsSpecial(c.n.kind) {
		r.Kind, r.Rdev, r.Has = c.n.kind, a.Rdev, r.Has|share.HasKind
	}
	r.Ino, r.Has = c.n.ino, r.Has|share.HasIno
	c.mode = recordable(&r, a.Mode&permissions, c.n.isDir())
	c.record = r
	return nil
}

// run returns a descriptor of O_PATH of the copy.
func (c *copying) run() (int, error) {
	switch c.n.kind {
	case unix.S_IFDIR:
		return c.directory()
	case unix.S_IFLNK:
		target, err := hostfs.Readlink(c.from, "")
		if err == nil {
			err = unix.Symlinkat(target, c.at, c.name)
		}
		if err != nil {
			return -1, err
		}
		return hostfs.OpenPath(c.at, c.name)
	}
	return c.file()
}

func (c *copying) directory() (int, error) {
	if err := unix.Mkdirat(c.at, c.name, c.mode); err != nil {
		return -1, err
	}
	path, err := hostfs.OpenPath(c.at, c.name)
	if err == nil {
		err = c.dress(path)
	}
	if err != nil {
		_ = unix.Unlinkat(c.at, c.name, unix.AT_REMOVEDIR)
	}
	return path, err
}

// file copies a regular file into one without a name, so that a half of it is never seen.
func (c *copying) file() (int, error) {
	fd, err := hostfs.Open(c.at, ".", unix.O_TMPFILE|unix.O_RDWR, c.mode)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	if c.n.kind == unix.S_IFREG {
		if err := c.contents(fd); err != nil {
			return -1, err
		}
	}
	if err := c.dress(fd); err != nil {
		return -1, err
	}
	if !c.nameless {
		if err := hostfs.Link(fd, c.at, c.name); err != nil {
			return -1, err
		}
	}
	return hostfs.Reopen(fd, unix.O_PATH)
}

// contents copies the data, and leaves holes what they are: a file can be far larger than its disk.
func (c *copying) contents(into int) error {
	from, err := hostfs.Reopen(c.from, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	size := int64(c.stat.Size)
	if err := unix.Ftruncate(into, size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		data, err := unix.Seek(from, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil // a hole to the end
		}
		end := size
		if err != nil {
			data = at // a file system that knows nothing of holes
		} else if end, err = unix.Seek(from, data, unix.SEEK_HOLE); err != nil {
			return err
		}
		if err := copyRange(from, into, data, end); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// copyRange copies a range of one file to the same place of another.
func copyRange(from, into int, at, end int64) error {
	const most = 1 << 30
	for at < end {
		source, target := at, at
		n, err := unix.CopyFileRange(from, &source, into, &target, int(min(end-at, most)), 0)
		switch {
		case err == unix.EINTR:
		case err == unix.EXDEV || err == unix.EINVAL || err == unix.EOPNOTSUPP || err == unix.ENOSYS:
			return copyPlain(from, into, at, end)
		case err != nil || n == 0: // it became shorter meanwhile
			return err
		}
		at += int64(max(n, 0))
	}
	return nil
}

func copyPlain(from, into int, at, end int64) error {
	for buf := make([]byte, MaxWrite); at < end; {
		n, err := unix.Pread(from, buf[:min(int64(len(buf)), end-at)], at)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for b := buf[:n]; len(b) > 0; {
			n, err := unix.Pwrite(into, b, at)
			if err != nil && err != unix.EINTR {
				return err
			}
			b, at = b[max(n, 0):], at+int64(max(n, 0))
		}
	}
	return nil
}

// dress gives the copy its record, attributes and times.
func (c *copying) dress(fd int) error {
	if err := hostfs.Setxattr(fd, share.RecordName, c.record.Encode(), 0); err != nil {
		return err
	}
	names, err := hostfs.Listxattr(c.from)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	for name := range bytes.SplitSeq(names, []byte{0}) {
		if !admitAttr(string(name)) {
			continue
		}
		value := make([]byte, maxAttr)
		n, err := hostfs.Getxattr(c.from, string(name), value)
		if err == nil {
			err = hostfs.Setxattr(fd, string(name), value[:n], 0)
		}
		if err != nil {
			return err
		}
	}
	return hostfs.Utimes(fd, [2]unix.Timespec{
		{Sec: c.stat.Atime.Sec, Nsec: int64(c.stat.Atime.Nsec)}, {Sec: c.stat.Mtime.Sec, Nsec: int64(c.stat.Mtime.Nsec)},
	})
}
