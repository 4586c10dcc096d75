package erofs

import (
	"encoding/binary"
	"hash/crc32"
)

// BlockSize is the size of a block. Linux takes none that is larger than a page.
const BlockSize = 4096

const (
	magic       = 0xe0f5e1e2
	superOffset = 1024
	superSize   = 128
	inodeSize   = 64 // extended
	slotSize    = 32 // an inode's number counts these
	direntSize  = 12
	xattrHeader = 12
	xattrEntry  = 4
	rootSlot    = 2 // below it nothing, for readers that take inode 0 for a deleted entry

	compatChecksum = 1
	compatMtime    = 2

	extendedInode = 1
	flatPlain     = 0 << 1
	flatInline    = 2 << 1
)

// Types of file, as in st_mode.
const (
	TypeMask = 0o170000
	Socket   = 0o140000
	Symlink  = 0o120000
	Regular  = 0o100000
	Block    = 0o060000
	Dir      = 0o040000
	Char     = 0o020000
	FIFO     = 0o010000
)

// direntTypes are the file types of directory entries (enum EROFS_FT_*).
var direntTypes = map[uint16]byte{Regular: 1, Dir: 2, Char: 3, Block: 4, FIFO: 5, Socket: 6, Symlink: 7}

// xattrPrefixes are the namespaces of extended attributes that the format knows, with their numbers.
var xattrPrefixes = []struct {
	prefix string
	index  byte
}{
	{"user.", 1}, {"system.posix_acl_access", 2}, {"system.posix_acl_default", 3}, {"trusted.", 4}, {"security.", 6},
}

// superblock describes the image as a whole.
type superblock struct {
	inodes    uint64
	blocks    uint32
	metaBlock uint32
	uuid      [16]byte
}

// encode returns block 0.
func (s superblock) encode() []byte {
	le := binary.LittleEndian
	block := make([]byte, BlockSize)
	b := block[superOffset:]
	le.PutUint32(b[0:], magic)
	le.PutUint32(b[8:], compatChecksum|compatMtime)
	b[12] = 12 // log2 of BlockSize
	le.PutUint16(b[14:], rootSlot)
	le.PutUint64(b[16:], s.inodes)
	le.PutUint32(b[36:], s.blocks)
	le.PutUint32(b[40:], s.metaBlock)
	copy(b[48:64], s.uuid[:])
	// The kernel's crc32c has no final inversion, and covers the rest of the block.
	le.PutUint32(b[4:], ^crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return block
}

// deviceNumber packs a device number as the kernel's new_encode_dev does.
func deviceNumber(major, minor uint32) uint32 { return minor&0xff | major<<8 | (minor&^0xff)<<12 }

func blocks(size int64) int64 { return (size + BlockSize - 1) / BlockSize }

func alignUp(n, to int) int { return (n + to - 1) / to * to }
