package ext4

import (
	"encoding/binary"
	"fmt"
	"io"
)

// File is what can be formatted: a file that holds zeros, if anything.
type File interface {
	io.WriterAt
	Truncate(size int64) error
}

// Group is the unit of sizes: a disk has a whole number of them, at least one.
const Group = groupBlocks * blockSize

// MaxSize is where the 32 bits of a block's number end.
const MaxSize = 8 << 40

const (
	blockSize   = 4096
	groupBlocks = 32768
	inodeSize   = 256
	groupInodes = 8192 // one for each 16 KiB, as mke2fs has it
	tableBlocks = groupInodes * inodeSize / blockSize
	descSize    = 32

	rootInode  = 2
	firstInode = 11 // lost+found

	compat   = 0x08 | 0x20                      // extended attributes, indexed directories
	incompat = 0x02 | 0x40                      // file types in directories, extents
	roCompat = 0x01 | 0x02 | 0x08 | 0x20 | 0x40 // few backups, large and huge files, many subdirectories, large inodes

	dirMode     = 0o040000
	usesExtents = 0x80000
	extentMagic = 0xf30a
)

var le = binary.LittleEndian

// Format makes f an empty file system of size bytes, rounded down to a multiple of Group.
func Format(f File, size int64, uuid [16]byte) error {
	if size < Group || size > MaxSize {
		return fmt.Errorf("a file system of %d bytes: it must have %d to %d", size, int64(Group), int64(MaxSize))
	}
	v := newVolume(uint32(size/Group), uuid)
	if err := f.Truncate(int64(v.groups) * Group); err != nil {
		return err
	}
	for g := range v.groups {
		if err := v.writeGroup(f, g); err != nil {
			return err
		}
	}
	return v.writeRoot(f)
}

// volume is the geometry.
type volume struct {
	groups     uint32
	descBlocks uint32 // of the table of groups
	uuid       [16]byte
}

func newVolume(groups uint32, uuid [16]byte) *volume {
	return &volume{groups: groups, descBlocks: (groups*descSize + blockSize - 1) / blockSize, uuid: uuid}
}

// backup tells whether a group begins with the superblock and the table of groups.
func backup(g uint32) bool {
	if g <= 1 {
		return true
	}
	for _, base := range []uint32{3, 5, 7} {
		n := g
		for n%base == 0 {
			n /= base
		}
		if n == 1 {
			return true
		}
	}
	return false
}

// bitmaps is the block of a group's first bitmap; the second and the table of inodes follow.
func (v *volume) bitmaps(g uint32) uint32 {
	first := g * groupBlocks
	if backup(g) {
		first += 1 + v.descBlocks
	}
	return first
}

// data is the first block behind what a group needs for itself.
func (v *volume) data(g uint32) uint32 { return v.bitmaps(g) + 2 + tableBlocks }

// used is how many blocks of a group are taken. The first has the two directories.
func (v *volume) used(g uint32) uint32 {
	n := v.data(g) - g*groupBlocks
	if g == 0 {
		n += 2
	}
	return n
}

func usedInodes(g uint32) uint32 {
	if g == 0 {
		return firstInode
	}
	return 0
}

func (v *volume) superblock(g uint32) []byte {
	free := uint32(0)
	for i := range v.groups {
		free += groupBlocks - v.used(i)
	}
	b := make([]byte, 1024)
	le.PutUint32(b[0:], v.groups*groupInodes)
	le.PutUint32(b[4:], v.groups*groupBlocks)
	le.PutUint32(b[12:], free)
	le.PutUint32(b[16:], v.groups*groupInodes-firstInode)
	le.PutUint32(b[24:], 2) // block size: 1024 << 2
	le.PutUint32(b[28:], 2)
	le.PutUint32(b[32:], groupBlocks)
	le.PutUint32(b[36:], groupBlocks)
	le.PutUint32(b[40:], groupInodes)
	le.PutUint16(b[54:], 0xffff) // no check after so many mounts
	le.PutUint16(b[56:], 0xef53)
	le.PutUint16(b[58:], 1) // clean
	le.PutUint16(b[60:], 1) // go on after errors
	le.PutUint32(b[76:], 1) // dynamic inode sizes
	le.PutUint32(b[84:], firstInode)
	le.PutUint16(b[88:], inodeSize)
	le.PutUint16(b[90:], uint16(g))
	le.PutUint32(b[92:], compat)
	le.PutUint32(b[96:], incompat)
	le.PutUint32(b[100:], roCompat)
	copy(b[104:120], v.uuid[:])
	copy(b[236:252], v.uuid[:]) // seed of the directories' hash
	b[252] = 1                  // half MD4
	le.PutUint16(b[348:], 32)   // what inodes have beyond their first 128 bytes
	le.PutUint16(b[350:], 32)
	le.PutUint32(b[352:], 1) // hash of signed characters, as on x86
	return b
}

func (v *volume) descriptors() []byte {
	b := make([]byte, v.descBlocks*blockSize)
	for g := range v.groups {
		d := b[g*descSize:]
		at := v.bitmaps(g)
		le.PutUint32(d[0:], at)
		le.PutUint32(d[4:], at+1)
		le.PutUint32(d[8:], at+2)
		le.PutUint16(d[12:], uint16(groupBlocks-v.used(g)))
		le.PutUint16(d[14:], uint16(groupInodes-usedInodes(g)))
		if g == 0 {
			le.PutUint16(d[16:], 2) // directories
		}
	}
	return b
}

func (v *volume) writeGroup(f File, g uint32) error {
	first := int64(g) * Group
	if backup(g) {
		at := first
		if g == 0 {
			at = 1024
		}
		if _, err := f.WriteAt(v.superblock(g), at); err != nil {
			return err
		}
		if _, err := f.WriteAt(v.descriptors(), first+blockSize); err != nil {
			return err
		}
	}
	maps := make([]byte, 2*blockSize)
	setBits(maps[:blockSize], 0, v.used(g))
	setBits(maps[blockSize:], 0, usedInodes(g))
	setBits(maps[blockSize:], groupInodes, 8*blockSize) // beyond the table there are none
	_, err := f.WriteAt(maps, int64(v.bitmaps(g))*blockSize)
	return err
}

func setBits(bitmap []byte, from, to uint32) {
	for i := from; i < to; i++ {
		bitmap[i/8] |= 1 << (i % 8)
	}
}

// writeRoot writes the root directory and lost+found, which file system checkers want to see.
func (v *volume) writeRoot(f File) error {
	table := int64(v.bitmaps(0)+2) * blockSize
	root, lost := v.data(0), v.data(0)+1
	for _, w := range []struct {
		at   int64
		data []byte
	}{
		{table + (rootInode-1)*inodeSize, dirInode(0o755, 3, root)},
		{table + (firstInode-1)*inodeSize, dirInode(0o700, 2, lost)},
		{int64(root) * blockSize, dirBlock(entry{rootInode, "."}, entry{rootInode, ".."}, entry{firstInode, "lost+found"})},
		{int64(lost) * blockSize, dirBlock(entry{firstInode, "."}, entry{rootInode, ".."})},
	} {
		if _, err := f.WriteAt(w.data, w.at); err != nil {
			return err
		}
	}
	return nil
}

// dirInode is a directory of one block.
func dirInode(perm, links uint16, block uint32) []byte {
	b := make([]byte, inodeSize)
	le.PutUint16(b[0:], dirMode|perm)
	le.PutUint32(b[4:], blockSize)
	le.PutUint16(b[26:], links)
	le.PutUint32(b[28:], blockSize/512)
	le.PutUint32(b[32:], usesExtents)
	le.PutUint16(b[40:], extentMagic)
	le.PutUint16(b[42:], 1) // one extent
	le.PutUint16(b[44:], 4) // of four that there is room for
	le.PutUint16(b[56:], 1) // its length
	le.PutUint32(b[60:], block)
	le.PutUint16(b[128:], 32)
	return b
}

type entry struct {
	inode uint32
	name  string
}

// dirBlock is a block of entries, the last of which reaches to its end.
func dirBlock(entries ...entry) []byte {
	b := make([]byte, blockSize)
	at := 0
	for i, e := range entries {
		length := (8 + len(e.name) + 3) &^ 3
		if i == len(entries)-1 {
			length = blockSize - at
		}
		le.PutUint32(b[at:], e.inode)
		le.PutUint16(b[at+4:], uint16(length))
		b[at+6] = byte(len(e.name))
		b[at+7] = 2 // directory
		copy(b[at+8:], e.name)
		at += length
	}
	return b
}
