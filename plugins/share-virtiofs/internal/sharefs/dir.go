//go:build linux

package sharefs

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// listing reads an open directory.
type listing struct {
	mu      sync.Mutex
	entries []fuse.Dirent // read from the host and not handed out; the whole directory where merged
	merged  bool          // entries are all there are, and Next is an index
	held    int           // of these entries; guarded by the table's lock
	at      int           // of the next entry
	offset  int64         // behind the last entry that was handed out
}

const (
	listBuffer = 32 << 10
	leastBatch = 1 << 10

	// What open directories may hold: their number, since each has read a little ahead, and all entries of merged ones.
	maxDirs   = 16 << 10
	maxListed = 2 << 20
)

// opendir answers OPENDIR.
func (f *FS) opendir(q *Request) error {
	n, err := f.table.get(q.Header.Node)
	if err != nil {
		return err
	}
	if !n.isDir() {
		return unix.ENOTDIR
	}
	if n.mount == nil {
		return f.openRoot(q, n)
	}
	defer n.mount.look()()
	var flags uint32
	if n.mount.Always {
		flags = fuse.KeepCache | fuse.CacheDir
	}
	list := &listing{}
	if front, back := f.table.placesOf(n); back != nil {
		if list, err = f.merge(n, front, back); err != nil {
			return err
		}
	}
	fd, err := f.openBody(n, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	h, err := f.table.addDir(n, fd, list)
	if err != nil {
		return err
	}
	q.Reply = fuse.AppendOpenOut(q.Reply, h.id, flags)
	return nil
}

// openRoot opens the device's root, which is no directory of the host.
func (f *FS) openRoot(q *Request, n *node) error {
	list := &listing{merged: true}
	for _, name := range []string{".", ".."} {
		list.entries = append(list.entries, fuse.Dirent{Ino: rootID, Type: unix.DT_DIR, Name: name})
	}
	for _, m := range f.mounts {
		list.entries = append(list.entries, fuse.Dirent{Ino: m.root.ino, Type: m.root.kind >> 12, Name: m.Tag})
	}
	list.number()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC) // something to close
	if err != nil {
		return err
	}
	h, err := f.table.addDir(n, fd, list)
	if err != nil {
		return err
	}
	q.Reply = fuse.AppendOpenOut(q.Reply, h.id, 0)
	return nil
}

// number makes the entries' positions those in the list.
func (l *listing) number() {
	for i := range l.entries {
		l.entries[i].Next = int64(i + 1)
	}
}

// readdir answers READDIR and READDIRPLUS.
func (f *FS) readdir(q *Request) error {
	d := fuse.Decode(q.Body)
	t := d.Transfer()
	if err := d.Err(); err != nil {
		return err
	}
	room := min(int(t.Size), q.Room)
	h, err := f.table.handle(t.Handle)
	if err != nil {
		return err
	}
	defer f.table.done(h)
	if h.dir == nil {
		return unix.ENOTDIR
	}
	plus := q.Header.Opcode == fuse.Readdirplus && h.node.mount != nil
	if h.node.mount != nil {
		defer h.node.mount.look()()
	}
	list := h.dir
	list.mu.Lock()
	defer list.mu.Unlock()
	if t.Offset == 0 && list.at > 0 && list.merged && h.node.mount != nil {
		if err := f.mergeAgain(h); err != nil {
			return err
		}
	}
	if err := list.seek(h.fd, int64(t.Offset)); err != nil {
		return err
	}
	for {
		e, err := list.next(h.fd, room-len(q.Reply))
		if err != nil || e == nil {
			return err
		}
		size := fuse.DirentSize(e.Name)
		if q.Header.Opcode == fuse.Readdirplus {
			size += fuse.EntryOutSize
		}
		if len(q.Reply)+size > room {
			return nil
		}
		if !list.merged {
			f.correct(h.node, h.fd, f.table.keyOf(f.table.bodyOf(h.node)).dev, e, plus)
		}
		if q.Header.Opcode == fuse.Readdirplus {
			f.appendEntry(q, h.node, e, plus)
		}
		q.Reply = fuse.AppendDirent(q.Reply, e)
		list.taken(e)
	}
}

// appendEntry writes what a lookup of the entry would answer. Node 0 leaves the lookup to the guest.
func (f *FS) appendEntry(q *Request, dir *node, e *fuse.Dirent, plus bool) {
	if plus && e.Name != "." && e.Name != ".." {
		if n, a, err := f.look(dir, e.Name); err == nil {
			q.Reply = fuse.AppendEntryOut(q.Reply, n.id, &a, n.mount.valid)
			e.Type, e.Ino = a.Mode>>12&0xf, a.Ino
			return
		}
	}
	q.Reply = fuse.AppendEntryOut(q.Reply, 0, &fuse.Attr{}, 0)
}

// correct makes an entry of a directory of the host's, which lies on a device, what the guest has to see: its number, and its kind
// where a record says so. If somebody looks the entry up anyway there is no need to read the record.
func (f *FS) correct(dir *node, fd int, dev uint64, e *fuse.Dirent, plus bool) {
	f.table.mu.Lock()
	switch {
	case e.Name == ".":
		e.Ino = dir.ino
	case e.Name == ".." && dir.parent != nil:
		e.Ino = dir.parent.ino
	default:
		e.Ino = f.table.number(dev, e.Ino)
	}
	f.table.mu.Unlock()
	if plus || e.Name == "." || e.Name == ".." {
		return
	}
	kind := e.Type << 12
	if kind != unix.S_IFREG && (kind != unix.S_IFDIR || !dir.mount.layered()) {
		return
	}
	r := recordAt(fd, e.Name, kind)
	if r.Has&share.HasKind != 0 {
		e.Type = r.Kind >> 12
	}
	if r.Has&share.HasIno != 0 {
		e.Ino = r.Ino
	}
}

// seek goes to a position that the guest names: behind an entry, or the start.
func (l *listing) seek(fd int, offset int64) error {
	if l.merged {
		if offset < 0 || offset > int64(len(l.entries)) {
			return unix.EINVAL
		}
		l.at = int(offset)
		return nil
	}
	if offset == l.offset && offset != 0 {
		return nil
	}
	l.entries, l.at, l.offset = l.entries[:0], 0, offset
	_, err := unix.Seek(fd, offset, unix.SEEK_SET)
	return err
}

// next returns the next entry, nil at the end. It stays the next one until it is taken. It reads about as much ahead as there is
// room for, since a guest can have many directories open.
func (l *listing) next(fd, room int) (*fuse.Dirent, error) {
	if l.at == len(l.entries) && !l.merged {
		buf := make([]byte, min(max(room, leastBatch), listBuffer))
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			return nil, err
		}
		l.at = 0
		if l.entries, err = parseDirents(l.entries[:0], buf[:n]); err != nil {
			return nil, err
		}
	}
	if l.at == len(l.entries) {
		return nil, nil
	}
	return &l.entries[l.at], nil
}

func (l *listing) taken(e *fuse.Dirent) {
	l.at++
	l.offset = e.Next
}

// parseDirents reads what getdents64(2) returns.
func parseDirents(list []fuse.Dirent, b []byte) ([]fuse.Dirent, error) {
	const header = 19
	for len(b) > 0 {
		d := fuse.Decode(b)
		ino, next := d.Uint64(), int64(d.Uint64())
		rest := d.Bytes(3)
		if d.Err() != nil {
			return nil, errBadDirent
		}
		size := int(rest[0]) | int(rest[1])<<8
		if size < header || size > len(b) {
			return nil, errBadDirent
		}
		name := fuse.Decode(b[header:size])
		list = append(list, fuse.Dirent{Ino: ino, Next: next, Type: uint32(rest[2]), Name: name.String()})
		b = b[size:]
	}
	return list, nil
}

var errBadDirent = errors.New("the host's directory entries make no sense")
