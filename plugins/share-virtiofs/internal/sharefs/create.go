//go:build linux

package sharefs

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

const permissions = 0o777

// newborn is a name that is about to be made.
type newborn struct {
	dir    *node
	name   string
	at     *descriptor  // of dir, in front
	record share.Record // what the inode needs that the host must not give it
	mode   uint32       // permissions, as the guest wants them
	kind   uint32       // on the host
	done   func()

	covered bool // overlay: a whiteout was taken away for it
	made    bool
}

// conceive prepares a name of a directory for something of the given mode. The caller calls done.
func (f *FS) conceive(q *Request, name string, mode uint32) (*newborn, error) {
	dir, err := f.writable(q.Header.Node, name)
	if err != nil {
		return nil, err
	}
	unlock := dir.mount.change()
	b := &newborn{dir: dir, name: name, mode: mode & permissions, kind: mode & unix.S_IFMT, done: unlock}
	if err = f.vacate(b); err == nil {
		front, _ := f.table.placesOf(dir)
		b.at, err = f.table.hold(front)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	b.done = func() {
		f.table.release(b.at)
		f.restore(b)
		unlock()
	}
	if b.record, err = f.ownerOf(q, b, mode); err != nil {
		b.done()
		return nil, err
	}
	return b, nil
}

// hostMode is the permissions to make it with, once its record is complete.
func (b *newborn) hostMode() uint32 {
	if b.record.Has == 0 && !b.dir.mount.layered() {
		return b.mode
	}
	return recordable(&b.record, b.mode, b.kind == unix.S_IFDIR)
}

// restore hides again what was below a name that nothing came of.
func (f *FS) restore(b *newborn) {
	if b.covered && !b.made {
		_ = f.cover(b.dir, b.name)
	}
}

// ownerOf says what the guest has to see of an inode that the host makes the user's. In a directory with the set-group-ID bit it
// gets the directory's group (inode(7)).
func (f *FS) ownerOf(q *Request, b *newborn, mode uint32) (share.Record, error) {
	var st hostfs.Stat
	if err := hostfs.StatFD(b.at.fd, &st); err != nil {
		return share.Record{}, err
	}
	r := recordOf(b.at.fd, unix.S_IFDIR)
	parent := attrOf(b.dir, &st, &r)
	hostGID := f.self.HostGID
	if st.Mode&unix.S_ISGID != 0 {
		hostGID = st.Gid
	}
	gid, bits := q.Header.GID, mode&share.SpecialBits
	if parent.Mode&unix.S_ISGID != 0 {
		gid = parent.GID
		if mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&unix.S_ISGID == 0 {
			bits |= unix.S_ISGID
		}
	}
	var want share.Record
	if b.dir.mount.guestUID(f.self.HostUID) != q.Header.UID {
		want.UID, want.Has = q.Header.UID, want.Has|share.HasUID
	}
	if b.dir.mount.guestGID(hostGID) != gid {
		want.GID, want.Has = gid, want.Has|share.HasGID
	}
	if bits != 0 {
		want.Bits, want.Has = bits, want.Has|share.HasBits
	}
	return want, nil
}

// deliver answers with the inode that was made under the name, once its record is written. Of one that cannot be delivered nothing
// is left.
func (f *FS) deliver(q *Request, b *newborn) (*node, error) {
	n, err := f.admit(q, b)
	if err != nil {
		b.undo()
	}
	return n, err
}

// undo removes what was made.
func (b *newborn) undo() {
	flags := 0
	if b.kind == unix.S_IFDIR {
		flags = unix.AT_REMOVEDIR
	}
	_ = unix.Unlinkat(b.at.fd, b.name, flags)
	b.made = false
}

func (f *FS) admit(q *Request, b *newborn) (*node, error) {
	var what found
	if err := hostfs.StatName(b.at.fd, b.name, &what.stat); err != nil {
		return nil, err
	}
	kind := uint32(what.stat.Mode) & unix.S_IFMT
	what.front, what.record = true, b.record
	forgetful := false
	if b.record.Has != 0 {
		err := unix.EOPNOTSUPP
		if canHaveRecord(kind) {
			err = asErrno(hostfs.SetxattrName(b.at.fd, b.name, share.RecordName, b.record.Encode()))
		}
		forgetful = unrecordable(err)
		if err != 0 && !forgetful {
			return nil, err
		}
	}
	n, err := f.table.enter(b.dir, b.name, &what)
	if err != nil {
		return nil, err
	}
	b.made = true
	if forgetful {
		f.table.remember(n, b.record)
	}
	a := attrOf(n, &what.stat, &b.record)
	q.Reply = fuse.AppendEntryOut(q.Reply, n.id, &a, n.mount.valid)
	return n, nil
}

func asErrno(err error) unix.Errno {
	var errno unix.Errno
	errors.As(err, &errno)
	return errno
}

// unrecordable tells whether an inode cannot have a record on disk: it is a symbolic link, or the file system knows none.
func unrecordable(err unix.Errno) bool { return err == unix.EOPNOTSUPP || err == unix.EPERM }

// remember keeps the record of an inode in memory.
func (t *table) remember(n *node, r share.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.memory = r
}

// mkdir answers MKDIR.
func (f *FS) mkdir(q *Request) error {
	d := fuse.Decode(q.Body)
	mode := d.Uint32()
	d.Skip(4) // the kernel has applied the umask
	name := d.String()
	if err := d.Err(); err != nil {
		return err
	}
	b, err := f.conceive(q, name, mode&^unix.S_IFMT|unix.S_IFDIR)
	if err != nil {
		return err
	}
	defer b.done()
	if b.covered {
		b.record.Has |= share.Opaque
	}
	if err := unix.Mkdirat(b.at.fd, name, b.hostMode()); err != nil {
		return err
	}
	_, err = f.deliver(q, b)
	return err
}

// mknod answers MKNOD. Whatever is not a regular file becomes an empty one that says so in its record.
func (f *FS) mknod(q *Request) error {
	d := fuse.Decode(q.Body)
	mode, rdev := d.Uint32(), d.Uint32()
	d.Skip(8)
	name := d.String()
	if err := d.Err(); err != nil {
		return err
	}
	kind := mode & unix.S_IFMT
	if kind != unix.S_IFREG && !share.IsSpecial(kind) {
		return unix.EINVAL
	}
	b, err := f.conceive(q, name, mode&^unix.S_IFMT|unix.S_IFREG)
	if err != nil {
		return err
	}
	defer b.done()
	if kind != unix.S_IFREG {
		b.record.Kind, b.record.Rdev, b.record.Has = kind, rdev, b.record.Has|share.HasKind
	}
	fd, err := hostfs.Open(b.at.fd, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, b.hostMode())
	if err != nil {
		return err
	}
	_ = unix.Close(fd)
	_, err = f.deliver(q, b)
	return err
}

// symlink answers SYMLINK. Where it leads is the guest's business: nothing here follows it.
func (f *FS) symlink(q *Request) error {
	d := fuse.Decode(q.Body)
	name, target := d.String(), d.String()
	if err := d.Err(); err != nil {
		return err
	}
	b, err := f.conceive(q, name, unix.S_IFLNK|permissions)
	if err != nil {
		return err
	}
	defer b.done()
	if err := unix.Symlinkat(target, b.at.fd, name); err != nil {
		return err
	}
	_, err = f.deliver(q, b)
	return err
}

// link answers LINK. A file keeps to its mount: through another one it could be written to.
func (f *FS) link(q *Request) error {
	d := fuse.Decode(q.Body)
	id := d.Uint64()
	name := d.String()
	if err := d.Err(); err != nil {
		return err
	}
	n, err := f.node(id)
	if err != nil {
		return err
	}
	dir, err := f.writable(q.Header.Node, name)
	if err != nil {
		return err
	}
	if n.mount != dir.mount {
		return unix.EXDEV
	}
	defer dir.mount.change()()
	b := &newborn{dir: dir, name: name}
	defer f.restore(b)
	if err := errors.Join(f.raise(n), f.vacate(b)); err != nil {
		return err
	}
	front, _ := f.table.placesOf(n)
	file, err := f.table.hold(front)
	if err != nil {
		return err
	}
	defer f.table.release(file)
	into, _ := f.table.placesOf(dir)
	at, err := f.table.hold(into)
	if err != nil {
		return err
	}
	defer f.table.release(at)
	if err := hostfs.Link(file.fd, at.fd, name); err != nil {
		return err
	}
	b.made = true
	_, err = f.entry(q, dir, name)
	return err
}
