package fuse

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// HeaderSize and OutHeaderSize are the sizes of the headers of requests and replies.
const (
	HeaderSize    = 40
	OutHeaderSize = 16
)

// ErrShort says that a message ends before what it must have.
var ErrShort = errors.New("fuse: message is too short")

// Header is struct fuse_in_header.
type Header struct {
	Length   uint32
	Opcode   Opcode
	Unique   uint64
	Node     uint64
	UID, GID uint32
}

// ParseHeader reads the header of a message.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, ErrShort
	}
	return Header{
		Length: binary.LittleEndian.Uint32(b[0:]), Opcode: Opcode(binary.LittleEndian.Uint32(b[4:])),
		Unique: binary.LittleEndian.Uint64(b[8:]), Node: binary.LittleEndian.Uint64(b[16:]),
		UID: binary.LittleEndian.Uint32(b[24:]), GID: binary.LittleEndian.Uint32(b[28:]),
	}, nil
}

// Decoder reads what stands behind a header, from the front.
type Decoder struct {
	rest  []byte
	short bool
}

// Decode reads from b.
func Decode(b []byte) Decoder { return Decoder{rest: b} }

// Err tells whether something was missing.
func (d *Decoder) Err() error {
	if d.short {
		return ErrShort
	}
	return nil
}

// Uint32 reads a number.
func (d *Decoder) Uint32() uint32 {
	b := d.Bytes(4)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

// Uint64 reads a number.
func (d *Decoder) Uint64() uint64 {
	b := d.Bytes(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

// Bytes reads n bytes, which stay those of the message.
func (d *Decoder) Bytes(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.short, d.rest = true, nil
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// Skip passes n bytes over.
func (d *Decoder) Skip(n int) { d.Bytes(n) }

// String reads a string that ends in a zero byte.
func (d *Decoder) String() string {
	n := bytes.IndexByte(d.rest, 0)
	if n < 0 {
		d.short, d.rest = true, nil
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n+1:]
	return s
}

// InitIn is what a kernel can do.
type InitIn struct {
	Major, Minor, MaxReadahead uint32
	Flags                      InitFlags
}

// Init reads struct fuse_init_in, of which old kernels have the first part only.
func (d *Decoder) Init() InitIn {
	in := InitIn{Major: d.Uint32(), Minor: d.Uint32(), MaxReadahead: d.Uint32(), Flags: InitFlags(d.Uint32())}
	if in.Flags&InitExt != 0 && len(d.rest) >= 4 {
		in.Flags |= InitFlags(d.Uint32()) << 32
	}
	return in
}

// SetattrIn is struct fuse_setattr_in.
type SetattrIn struct {
	Valid          uint32
	Handle, Size   uint64
	Atime, Mtime   Time
	Mode, UID, GID uint32
}

// Setattr reads it.
func (d *Decoder) Setattr() (in SetattrIn) {
	in.Valid = d.Uint32()
	d.Skip(4)
	in.Handle, in.Size = d.Uint64(), d.Uint64()
	d.Skip(8) // owner of locks
	in.Atime.Seconds, in.Mtime.Seconds = int64(d.Uint64()), int64(d.Uint64())
	d.Skip(8) // ctime is the host's
	in.Atime.Nanoseconds, in.Mtime.Nanoseconds = d.Uint32(), d.Uint32()
	d.Skip(4)
	in.Mode = d.Uint32()
	d.Skip(4)
	in.UID, in.GID = d.Uint32(), d.Uint32()
	return in
}

// Transfer is the common part of struct fuse_read_in and fuse_write_in.
type Transfer struct {
	Handle, Offset uint64
	Size, Flags    uint32
}

// TransferSize is the size of either struct.
const TransferSize = 40

// Transfer reads one of them.
func (d *Decoder) Transfer() Transfer {
	t := Transfer{Handle: d.Uint64(), Offset: d.Uint64(), Size: d.Uint32(), Flags: d.Uint32()}
	d.Skip(16) // owner of locks, flags of the file
	return t
}
