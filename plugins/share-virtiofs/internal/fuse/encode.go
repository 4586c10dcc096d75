package fuse

import "encoding/binary"

var le = binary.LittleEndian

// Time is a point of time as FUSE and statx(2) have it.
type Time struct {
	Seconds     int64
	Nanoseconds uint32
}

// Attr is struct fuse_attr.
type Attr struct {
	Ino, Size, Blocks     uint64
	Atime, Mtime, Ctime   Time
	Mode, Nlink, UID, GID uint32
	Rdev, BlockSize       uint32
}

// Timeout is how long a kernel may trust an answer, in seconds.
type Timeout uint64

// AppendAttr writes struct fuse_attr.
func AppendAttr(b []byte, a *Attr) []byte {
	for _, v := range [...]uint64{a.Ino, a.Size, a.Blocks, uint64(a.Atime.Seconds), uint64(a.Mtime.Seconds), uint64(a.Ctime.Seconds)} {
		b = le.AppendUint64(b, v)
	}
	for _, v := range [...]uint32{
		a.Atime.Nanoseconds, a.Mtime.Nanoseconds, a.Ctime.Nanoseconds, a.Mode, a.Nlink, a.UID, a.GID, a.Rdev, a.BlockSize, 0,
	} {
		b = le.AppendUint32(b, v)
	}
	return b
}

// AppendAttrOut writes struct fuse_attr_out.
func AppendAttrOut(b []byte, a *Attr, valid Timeout) []byte {
	b = le.AppendUint64(b, uint64(valid))
	b = le.AppendUint64(b, 0)
	return AppendAttr(b, a)
}

// EntryOutSize is the size of struct fuse_entry_out.
const EntryOutSize = 128

// AppendEntryOut writes struct fuse_entry_out. Node 0 says that there is nothing by the name, and will not be for that time.
func AppendEntryOut(b []byte, node uint64, a *Attr, valid Timeout) []byte {
	b = le.AppendUint64(b, node)
	b = le.AppendUint64(b, 0) // generation
	b = le.AppendUint64(b, uint64(valid))
	b = le.AppendUint64(b, uint64(valid))
	b = le.AppendUint64(b, 0)
	return AppendAttr(b, a)
}

// AppendOpenOut writes struct fuse_open_out.
func AppendOpenOut(b []byte, handle uint64, flags uint32) []byte {
	b = le.AppendUint64(b, handle)
	b = le.AppendUint32(b, flags)
	return le.AppendUint32(b, 0)
}

// AppendUint32 writes a number and the four bytes of padding that follow it in struct fuse_write_out and fuse_getxattr_out.
func AppendUint32(b []byte, v uint32) []byte { return le.AppendUint64(b, uint64(v)) }

// AppendUint64 writes a number, as in struct fuse_lseek_out.
func AppendUint64(b []byte, v uint64) []byte { return le.AppendUint64(b, v) }

// Statfs is struct fuse_kstatfs.
type StatfsOut struct {
	Blocks, Free, Available, Files, FilesFree uint64
	BlockSize, NameLength, FragmentSize       uint32
}

// AppendStatfs writes it.
func AppendStatfs(b []byte, s StatfsOut) []byte {
	for _, v := range [...]uint64{s.Blocks, s.Free, s.Available, s.Files, s.FilesFree} {
		b = le.AppendUint64(b, v)
	}
	for _, v := range [...]uint32{s.BlockSize, s.NameLength, s.FragmentSize} {
		b = le.AppendUint32(b, v)
	}
	return append(b, make([]byte, 7*4)...)
}

// InitOut is what was agreed on.
type InitOut struct {
	Minor, MaxReadahead, MaxWrite uint32
	Flags                         InitFlags
	MaxBackground                 uint16
	MaxPages                      uint16
}

// Major is the version of the protocol.
const Major = 7

// AppendInit writes struct fuse_init_out.
func AppendInit(b []byte, o InitOut) []byte {
	b = le.AppendUint32(b, Major)
	b = le.AppendUint32(b, o.Minor)
	b = le.AppendUint32(b, o.MaxReadahead)
	b = le.AppendUint32(b, uint32(o.Flags))
	b = le.AppendUint16(b, o.MaxBackground)
	b = le.AppendUint16(b, o.MaxBackground/4*3) // where the kernel calls it congested
	b = le.AppendUint32(b, o.MaxWrite)
	b = le.AppendUint32(b, 1) // granularity of times, in ns
	b = le.AppendUint16(b, o.MaxPages)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, uint32(o.Flags>>32))
	return append(b, make([]byte, 28)...)
}

// Dirent is an entry of a directory.
type Dirent struct {
	Ino  uint64
	Next int64  // where the directory is read on behind it
	Type uint32 // DT_REG and so on
	Name string
}

const direntHeader = 24

// DirentSize is what an entry takes in a reply to Readdir; with Readdirplus it has a struct fuse_entry_out in front.
func DirentSize(name string) int { return (direntHeader + len(name) + 7) &^ 7 }

// AppendDirent writes struct fuse_dirent.
func AppendDirent(b []byte, d *Dirent) []byte {
	b = le.AppendUint64(b, d.Ino)
	b = le.AppendUint64(b, uint64(d.Next))
	b = le.AppendUint32(b, uint32(len(d.Name)))
	b = le.AppendUint32(b, d.Type)
	b = append(b, d.Name...)
	return append(b, make([]byte, DirentSize(d.Name)-direntHeader-len(d.Name))...)
}

// PutOutHeader writes struct fuse_out_header in front of a reply. errno is positive.
func PutOutHeader(b []byte, length int, errno uint32, unique uint64) {
	le.PutUint32(b[0:], uint32(length))
	le.PutUint32(b[4:], -errno)
	le.PutUint64(b[8:], unique)
}
