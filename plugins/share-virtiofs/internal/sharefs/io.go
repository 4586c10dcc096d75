//go:build linux

package sharefs

import (
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
)

// readInto answers READ with a copy; ReadNow spares it.
func (f *FS) readInto(q *Request) error {
	t, h, err := f.reading(q)
	if err != nil {
		return err
	}
	defer f.table.done(h)
	size := int(t.Size)
	if cap(q.Reply) < size {
		q.Reply = make([]byte, size)
	}
	n, err := f.pread(h, q.Reply[:size], int64(t.Offset), 0)
	if err != nil {
		return err
	}
	q.Reply = q.Reply[:n]
	f.read.Add(uint64(n))
	return nil
}

// ReadNow answers READ right into the reply's place, if the host has the bytes in memory: later is true if it has not, and Serve
// must be asked, by somebody who can wait.
func (f *FS) ReadNow(q *Request, into []byte) (n int, later bool, errno unix.Errno) {
	t, h, err := f.reading(q)
	if err != nil {
		return 0, false, errnoOf(err)
	}
	defer f.table.done(h)
	if len(into) < int(t.Size) {
		return 0, false, unix.EINVAL
	}
	n, err = f.pread(h, into[:t.Size], int64(t.Offset), unix.RWF_NOWAIT)
	switch {
	case err == unix.EAGAIN || err == unix.EOPNOTSUPP:
		return 0, true, 0
	case err != nil:
		return 0, false, errnoOf(err)
	case n < int(t.Size) && !f.atEnd(h, t.Offset+uint64(n)):
		return 0, true, 0
	}
	f.ops[fuse.Read].Add(1)
	f.read.Add(uint64(n))
	return n, false, 0
}

// ReadSize is how many bytes a READ asks for, at most as many as there is room for.
func (q *Request) ReadSize() int {
	d := fuse.Decode(q.Body)
	return int(min(uint64(d.Transfer().Size), uint64(max(q.Room, 0)), MaxWrite))
}

func (f *FS) reading(q *Request) (fuse.Transfer, *handle, error) {
	d := fuse.Decode(q.Body)
	t := d.Transfer()
	switch {
	case d.Err() != nil:
		return t, nil, d.Err()
	case t.Size > MaxWrite || int(t.Size) > q.Room || int64(t.Offset) < 0:
		return t, nil, unix.EINVAL
	}
	h, err := f.table.handle(t.Handle)
	return t, h, err
}

func (f *FS) pread(h *handle, b []byte, offset int64, flags int) (int, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for done := 0; ; {
		var n int
		var err error
		if flags == 0 {
			n, err = unix.Pread(h.fd, b[done:], offset+int64(done))
		} else {
			n, err = unix.Preadv2(h.fd, [][]byte{b}, offset, flags)
		}
		switch {
		case err == unix.EINTR:
			continue
		case err != nil && done == 0:
			return 0, err
		case err != nil || n == 0 || flags != 0:
			return done + max(n, 0), nil
		}
		if done += n; done == len(b) {
			return done, nil
		}
	}
}

// atEnd tells whether an offset is the end of a file, or behind it.
func (f *FS) atEnd(h *handle, offset uint64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var st unix.Stat_t
	return unix.Fstat(h.fd, &st) == nil && offset >= uint64(st.Size)
}

// write answers WRITE.
func (f *FS) write(q *Request) error {
	d := fuse.Decode(q.Body)
	t := d.Transfer()
	switch {
	case d.Err() != nil:
		return d.Err()
	case uint64(t.Size) > uint64(len(q.Data)) || int64(t.Offset) < 0:
		return unix.EINVAL
	}
	h, err := f.table.handle(t.Handle)
	if err != nil {
		return err
	}
	defer f.table.done(h)
	n, err := pwrite(h, q.Data[:t.Size], int64(t.Offset))
	if err != nil {
		return err
	}
	f.written.Add(uint64(n))
	if t.Flags&fuse.WriteKillSuidgid != 0 {
		if err := f.killBits(h.node, h.fd); err != nil {
			return err
		}
	}
	q.Reply = fuse.AppendUint32(q.Reply, uint32(n))
	return nil
}

// pwrite writes all, or as much as there is room for.
func pwrite(h *handle, b []byte, offset int64) (int, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for done := 0; ; {
		n, err := unix.Pwrite(h.fd, b[done:], offset+int64(done))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil && done == 0:
			return 0, err
		case err != nil || n == 0:
			return done, nil
		}
		if done += n; done == len(b) {
			return done, nil
		}
	}
}

// withHandle runs an operation on an open file or directory.
func (f *FS) withHandle(id uint64, do func(h *handle) error) error {
	h, err := f.table.handle(id)
	if err != nil {
		return err
	}
	defer f.table.done(h)
	h.mu.RLock()
	defer h.mu.RUnlock()
	return do(h)
}

// release answers RELEASE and RELEASEDIR.
func (f *FS) release(q *Request) error {
	d := fuse.Decode(q.Body)
	f.table.closeHandle(d.Uint64())
	return nil
}

// flush answers FLUSH, for which there is nothing to do: writes are at the host when they are answered.
func (f *FS) flush(*Request) error { return nil }

// fsync answers FSYNC and FSYNCDIR.
func (f *FS) fsync(q *Request) error {
	d := fuse.Decode(q.Body)
	id, flags := d.Uint64(), d.Uint32()
	if err := d.Err(); err != nil {
		return err
	}
	return f.withHandle(id, func(h *handle) error {
		if flags&fuse.FsyncData != 0 {
			return unix.Fdatasync(h.fd)
		}
		return unix.Fsync(h.fd)
	})
}

// syncfs answers SYNCFS.
func (f *FS) syncfs(*Request) error {
	for _, m := range f.mounts {
		if m.ReadOnly {
			continue
		}
		fd, err := f.openSync(m)
		if err != nil {
			continue // a file that cannot be opened
		}
		err = unix.Syncfs(fd)
		_ = unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *FS) openSync(m *mount) (int, error) { return f.openBody(m.root, unix.O_RDONLY) }

// fallocate answers FALLOCATE.
func (f *FS) fallocate(q *Request) error {
	d := fuse.Decode(q.Body)
	id, offset, length, mode := d.Uint64(), int64(d.Uint64()), int64(d.Uint64()), d.Uint32()
	if err := d.Err(); err != nil {
		return err
	}
	return f.withHandle(id, func(h *handle) error {
		return ignoringEINTR(func() error { return unix.Fallocate(h.fd, mode, offset, length) })
	})
}

// lseek answers LSEEK, which the guest's kernel asks for data and holes only. With writeback it asks before it has written: what it
// then makes up by itself, a file without holes, is at least true.
func (f *FS) lseek(q *Request) error {
	if f.writeback.Load() {
		return unix.ENOSYS
	}
	d := fuse.Decode(q.Body)
	id, offset, whence := d.Uint64(), int64(d.Uint64()), d.Uint32()
	if err := d.Err(); err != nil {
		return err
	}
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return unix.EINVAL
	}
	return f.withHandle(id, func(h *handle) error {
		if h.dir != nil {
			return unix.EINVAL
		}
		at, err := unix.Seek(h.fd, offset, int(whence))
		if err == nil {
			q.Reply = fuse.AppendUint64(q.Reply, uint64(at))
		}
		return err
	})
}

// copyRange answers COPY_FILE_RANGE.
func (f *FS) copyRange(q *Request) error {
	d := fuse.Decode(q.Body)
	from, fromAt := d.Uint64(), int64(d.Uint64())
	d.Skip(8) // the node
	to, toAt, length, flags := d.Uint64(), int64(d.Uint64()), d.Uint64(), d.Uint64()
	if err := d.Err(); err != nil {
		return err
	}
	if flags != 0 {
		return unix.EINVAL
	}
	const most = 1 << 30 // so that one message does not take for ever
	copyTo := func(in, out *handle) error {
		n, err := unix.CopyFileRange(in.fd, &fromAt, out.fd, &toAt, int(min(length, most)), 0)
		if err == nil {
			q.Reply = fuse.AppendUint32(q.Reply, uint32(n))
		}
		return err
	}
	return f.withHandle(from, func(in *handle) error {
		if to == from { // whose lock is not taken twice
			return copyTo(in, in)
		}
		return f.withHandle(to, func(out *handle) error { return copyTo(in, out) })
	})
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// statfs answers STATFS.
func (f *FS) statfs(q *Request) error {
	n, err := f.table.get(q.Header.Node)
	if err != nil {
		return err
	}
	if n.mount == nil && len(f.mounts) > 0 {
		n = f.mounts[0].root
	}
	d, err := f.table.hold(f.table.bodyOf(n))
	if err != nil {
		return err
	}
	defer f.table.release(d)
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd, &st); err != nil {
		return err
	}
	q.Reply = fuse.AppendStatfs(q.Reply, fuse.StatfsOut{
		Blocks: st.Blocks, Free: st.Bfree, Available: st.Bavail, Files: st.Files, FilesFree: st.Ffree,
		BlockSize: uint32(st.Bsize), NameLength: uint32(st.Namelen), FragmentSize: uint32(st.Frsize),
	})
	return nil
}
