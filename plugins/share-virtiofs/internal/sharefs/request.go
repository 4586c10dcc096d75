//go:build linux

package sharefs

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
)

// Request is a message of the guest's.
type Request struct {
	Header fuse.Header
	// Body is what stands behind the header, a copy that nobody changes; for WRITE only up to the data.
	Body []byte
	// Data are a WRITE's. They may lie in memory that the guest's side can still change.
	Data []byte
	// Room is how many bytes the reply may have behind its header.
	Room int
	// Reply takes what the reply has behind its header.
	Reply []byte
}

type operation func(*FS, *Request) error

var operations [fuse.NumOpcodes]operation

func init() {
	operations = [fuse.NumOpcodes]operation{
		fuse.Lookup: (*FS).lookup, fuse.Getattr: (*FS).getattr, fuse.Setattr: (*FS).setattr, fuse.Readlink: (*FS).readlink,
		fuse.Symlink: (*FS).symlink, fuse.Mknod: (*FS).mknod, fuse.Mkdir: (*FS).mkdir, fuse.Unlink: (*FS).unlink,
		fuse.Rmdir: (*FS).rmdir, fuse.Rename: (*FS).rename, fuse.Rename2: (*FS).rename, fuse.Link: (*FS).link,
		fuse.Open: (*FS).open, fuse.Read: (*FS).readInto, fuse.Write: (*FS).write, fuse.Statfs: (*FS).statfs,
		fuse.Release: (*FS).release, fuse.Releasedir: (*FS).release, fuse.Fsync: (*FS).fsync, fuse.Fsyncdir: (*FS).fsync,
		fuse.Setxattr: (*FS).setxattr, fuse.Getxattr: (*FS).getxattr, fuse.Listxattr: (*FS).listxattr,
		fuse.Removexattr: (*FS).removexattr, fuse.Flush: (*FS).flush, fuse.Init: (*FS).init, fuse.Destroy: (*FS).destroy,
		fuse.Opendir: (*FS).opendir, fuse.Readdir: (*FS).readdir, fuse.Readdirplus: (*FS).readdir, fuse.Create: (*FS).create,
		fuse.Fallocate: (*FS).fallocate, fuse.Lseek: (*FS).lseek, fuse.CopyFileRange: (*FS).copyRange, fuse.Syncfs: (*FS).syncfs,
		fuse.Tmpfile: (*FS).tmpfile,
	}
}

// Serve answers a message: Reply holds what belongs behind the header, nothing if there is an error.
func (f *FS) Serve(q *Request) unix.Errno {
	op := q.Header.Opcode
	if int64(op) >= int64(fuse.NumOpcodes) {
		f.ops[0].Add(1)
		return unix.ENOSYS
	}
	f.ops[op].Add(1)
	if op.Silent() {
		if op == fuse.Forget || op == fuse.BatchForget {
			f.forget(q)
		}
		return 0
	}
	serve := operations[op]
	if serve == nil {
		return unix.ENOSYS
	}
	q.Reply = q.Reply[:0]
	err := serve(f, q)
	if errors.Is(err, unix.EACCES) && f.loosen(q) {
		q.Reply = q.Reply[:0]
		err = serve(f, q)
	}
	if err == nil && len(q.Reply) > q.Room {
		err = unix.EINVAL // the guest asked for an answer and left no room for it
	}
	if err != nil {
		q.Reply = q.Reply[:0]
		f.errors.Add(1)
	}
	return errnoOf(err)
}

// Slow tells whether a message may take so long that others should not wait behind it.
func Slow(op fuse.Opcode) bool {
	switch op {
	case fuse.Fsync, fuse.Fsyncdir, fuse.Syncfs, fuse.CopyFileRange, fuse.Fallocate:
		return true
	}
	return false
}

// agreed are the features that are used if the guest's kernel has them.
const agreed = fuse.AsyncRead | fuse.AtomicTrunc | fuse.BigWrites | fuse.AutoInvalData | fuse.DoReaddirplus | fuse.ReaddirplusAuto |
	fuse.AsyncDIO | fuse.ParallelDirOps | fuse.MaxPages | fuse.HandleKillprivV2 | fuse.InitExt

const (
	// MaxWrite is the most that one message reads or writes.
	MaxWrite = 1 << 20
	pageSize = 4096
	minor    = 38
	oldest   = 31 // the first kernel with virtio-fs, 5.4
)

// init answers INIT. A guest that sends it starts afresh.
func (f *FS) init(q *Request) error {
	d := fuse.Decode(q.Body)
	in := d.Init()
	if err := d.Err(); err != nil {
		return err
	}
	out := fuse.InitOut{
		Minor: minor, MaxReadahead: min(in.MaxReadahead, MaxWrite), MaxWrite: MaxWrite, MaxBackground: 128, MaxPages: MaxWrite / pageSize,
	}
	if in.Major > fuse.Major { // it will ask again
		q.Reply = fuse.AppendInit(q.Reply, out)
		return nil
	}
	if in.Major < fuse.Major || in.Minor < oldest {
		return unix.EPROTO
	}
	want := agreed
	if f.undisturbed() {
		// Nobody else changes the files, so the guest may keep what it writes, and whatever it has read, to itself.
		want = want&^fuse.AutoInvalData | fuse.WritebackCache | fuse.CacheSymlinks
	}
	out.Flags = in.Flags & want
	f.writeback.Store(out.Flags&fuse.WritebackCache != 0)
	f.reset()
	q.Reply = fuse.AppendInit(q.Reply, out)
	return nil
}

// undisturbed tells whether the files of all mounts are the guest's alone.
func (f *FS) undisturbed() bool {
	for _, m := range f.mounts {
		if !m.Always {
			return false
		}
	}
	return true
}

// destroy answers DESTROY.
func (f *FS) destroy(*Request) error {
	f.reset()
	return nil
}
