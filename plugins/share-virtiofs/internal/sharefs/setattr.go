//go:build linux

package sharefs

import (
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// setattr answers SETATTR.
func (f *FS) setattr(q *Request) error {
	d := fuse.Decode(q.Body)
	in := d.Setattr()
	if err := d.Err(); err != nil {
		return err
	}
	n, err := f.node(q.Header.Node)
	if err != nil {
		return err
	}
	if n.mount.ReadOnly {
		return unix.EROFS
	}
	if err := f.change(n, &in); err != nil {
		return err
	}
	return f.replyAttr(q, n)
}

func (f *FS) change(n *node, in *fuse.SetattrIn) error {
	defer n.mount.change()()
	if err := f.raise(n); err != nil {
		return err
	}
	d, err := f.table.hold(f.table.bodyOf(n))
	if err != nil {
		return err
	}
	defer f.table.release(d)
	if in.Valid&(fuse.SetUID|fuse.SetGID|fuse.SetMode|fuse.SetKillSuidgid) != 0 {
		if err := f.setOwner(n, d.fd, in); err != nil {
			return err
		}
	}
	if in.Valid&fuse.SetSize != 0 {
		if err := f.truncate(n, d, in); err != nil {
			return err
		}
	}
	return setTimes(d.fd, in)
}

// setOwner sets owner and mode: of these the host gets permissions only.
func (f *FS) setOwner(n *node, fd int, in *fuse.SetattrIn) error {
	var st hostfs.Stat
	if err := hostfs.StatFD(fd, &st); err != nil {
		return err
	}
	was := f.remembered(n, recordOf(fd, n.kind))
	r, now := was, attrOf(n, &st, &was)
	if in.Valid&fuse.SetUID != 0 {
		set(&r, share.HasUID, &r.UID, in.UID, n.mount.guestUID(st.Uid))
	}
	if in.Valid&fuse.SetGID != 0 {
		set(&r, share.HasGID, &r.GID, in.GID, n.mount.guestGID(st.Gid))
	}
	mode := now.Mode
	switch {
	case in.Valid&fuse.SetMode != 0:
		mode = in.Mode
	case in.Valid&(fuse.SetUID|fuse.SetGID|fuse.SetKillSuidgid) != 0 && !n.isDir():
		mode = killed(now.Mode)
	}
	set(&r, share.HasBits, &r.Bits, mode&share.SpecialBits, 0)
	return f.dress(n, fd, was, r, mode&permissions, uint32(st.Mode)&^unix.S_IFMT)
}

// dress gives an inode a record and permissions, of which the host gets those that the record needs. Its mode there is host.
func (f *FS) dress(n *node, fd int, was, r share.Record, perm, host uint32) error {
	r.Perm, r.Has = 0, r.Has&^share.HasPerm
	real := perm
	if r.Has != 0 || n.mount.layered() {
		real = recordable(&r, perm, n.isDir())
	}
	mode := func() error {
		switch {
		case real == host: // bits that were real move to the record
			return nil
		case n.kind == unix.S_IFLNK:
			return unix.EOPNOTSUPP
		}
		return hostfs.Chmod(fd, real)
	}
	record := func() error {
		if r == was {
			return nil
		}
		return f.setRecord(n, fd, r)
	}
	if r.Has == 0 { // the mode may be one with which no record can be removed
		return both(record, mode)
	}
	return both(mode, record)
}

func both(first, second func() error) error {
	if err := first(); err != nil {
		return err
	}
	return second()
}

// recordable is the permissions that the host has to give an inode with a record, in which stands what the guest wants instead.
func recordable(r *share.Record, perm uint32, dir bool) uint32 {
	real := perm | share.OwnerNeeds(dir)
	set(r, share.HasPerm, &r.Perm, perm, real)
	return real
}

// set notes a number, unless the host says the same.
func set(r *share.Record, is share.Has, into *uint32, value, host uint32) {
	if value == host {
		*into, r.Has = 0, r.Has&^is
		return
	}
	*into, r.Has = value, r.Has|is
}

// killed is a mode after a change that takes the set-user-ID bit away, and the set-group-ID bit of what the group executes
// (chown(2)).
func killed(mode uint32) uint32 {
	mode &^= unix.S_ISUID
	if mode&unix.S_IXGRP != 0 {
		mode &^= unix.S_ISGID
	}
	return mode
}

// killBits is the same after a write.
func (f *FS) killBits(n *node, fd int) error {
	var st hostfs.Stat
	if err := hostfs.StatFD(fd, &st); err != nil {
		return err
	}
	r := f.remembered(n, recordOf(fd, n.kind))
	if r.Has&share.HasBits == 0 && st.Mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return nil
	}
	return f.setOwner(n, fd, &fuse.SetattrIn{Valid: fuse.SetKillSuidgid})
}

// setRecord writes a record, to memory where the inode cannot have one.
func (f *FS) setRecord(n *node, fd int, r share.Record) error {
	err := unix.EOPNOTSUPP
	if canHaveRecord(n.kind) {
		text := r.Encode()
		if len(text) == 0 {
			err = asErrno(hostfs.Removexattr(fd, share.RecordName))
			if err == unix.ENODATA {
				err = 0
			}
		} else {
			err = asErrno(hostfs.Setxattr(fd, share.RecordName, text, 0))
		}
	}
	switch {
	case unrecordable(err):
		f.table.remember(n, r)
		return nil
	case err != 0:
		return err
	}
	return nil
}

// truncate sets the size, through the guest's own handle if it has named one.
func (f *FS) truncate(n *node, d *descriptor, in *fuse.SetattrIn) error {
	size := int64(in.Size)
	if size < 0 {
		return unix.EINVAL
	}
	if n.kind != unix.S_IFREG {
		return unix.EINVAL
	}
	if in.Valid&fuse.SetHandle != 0 {
		err := f.withHandle(in.Handle, func(h *handle) error {
			if h.node != n || h.flags&unix.O_ACCMODE == unix.O_RDONLY {
				return unix.EBADF
			}
			return unix.Ftruncate(h.fd, size)
		})
		if err != unix.EBADF {
			return err
		}
	}
	fd, err := hostfs.Reopen(d.fd, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Ftruncate(fd, size)
}

func setTimes(fd int, in *fuse.SetattrIn) error {
	const any = fuse.SetAtime | fuse.SetMtime
	if in.Valid&any == 0 {
		return nil
	}
	times := [2]unix.Timespec{
		timeArg(in.Valid, fuse.SetAtime, fuse.SetAtimeNow, in.Atime), timeArg(in.Valid, fuse.SetMtime, fuse.SetMtimeNow, in.Mtime),
	}
	return hostfs.Utimes(fd, times)
}

func timeArg(valid, set, now uint32, t fuse.Time) unix.Timespec {
	switch {
	case valid&set == 0:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case valid&now != 0:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: t.Seconds, Nsec: int64(t.Nanoseconds)}
}
