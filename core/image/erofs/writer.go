package erofs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// Output is where an image goes: an empty file.
type Output interface {
	io.WriterAt
	Truncate(size int64) error
}

// Puncher is an Output that can make a hole in what was written.
type Puncher interface {
	Punch(offset, size int64) error
}

// Writer writes one image.
type Writer struct {
	out     Output
	next    atomic.Int64 // first block that nobody has
	inlined atomic.Int64 // bytes of content that wait in memory
}

// NewWriter begins an image.
func NewWriter(out Output) *Writer {
	w := &Writer{out: out}
	w.next.Store(1)
	return w
}

func (w *Writer) write(b []byte, at int64) error {
	_, err := w.out.WriteAt(b, at)
	return err
}

// Discard gives back the room of content that no name leads to.
func (w *Writer) Discard(c *Content) error {
	p, can := w.out.(Puncher)
	if !can || c == nil || c.size == 0 || c.inline != nil {
		return nil
	}
	return p.Punch(c.block*BlockSize, blocks(c.size)*BlockSize)
}

// Finish writes the metadata of the tree below root, a directory, and ends the image. Every Appender has been flushed. It returns
// the number of inodes. uuid names the file system.
func (w *Writer) Finish(root *Node, uuid [16]byte) (inodes int, err error) {
	if !root.IsDir() {
		return 0, errors.New("erofs: the root is no directory")
	}
	l := layout{w: w, at: rootSlot * slotSize}
	if err := l.visit(root, ""); err != nil {
		return 0, fmt.Errorf("erofs: %w", err)
	}
	metaBlocks := blocks(int64(l.at))
	meta, err := w.allocate(metaBlocks)
	if err != nil {
		return 0, fmt.Errorf("erofs: %w", err)
	}
	if err := w.writeDirs(l.nodes, root); err != nil {
		return 0, fmt.Errorf("erofs: %w", err)
	}
	if err := w.writeInodes(l.nodes, meta*BlockSize, metaBlocks*BlockSize); err != nil {
		return 0, fmt.Errorf("erofs: %w", err)
	}
	super := superblock{inodes: uint64(len(l.nodes)), blocks: uint32(w.next.Load()), metaBlock: uint32(meta), uuid: uuid}
	if err := w.write(super.encode(), 0); err != nil {
		return 0, err
	}
	return len(l.nodes), w.out.Truncate(w.next.Load() * BlockSize)
}

// writeDirs makes the entries of directories, now that every inode has its place.
func (w *Writer) writeDirs(nodes []*Node, root *Node) error {
	parents := map[*Node]*Node{root: root}
	for _, n := range nodes { // parents come first
		if !n.IsDir() {
			continue
		}
		for _, child := range n.Children {
			if child.IsDir() {
				parents[child] = n
			}
		}
		data := n.encodeDir(parents[n])
		delete(parents, n)
		if !n.apart {
			n.payload = data
			continue
		}
		if err := w.spill(n, data); err != nil {
			return err
		}
	}
	return nil
}

// spill puts what cannot stand behind an inode into blocks of its own.
func (w *Writer) spill(n *Node, data []byte) error {
	first, err := w.allocate(blocks(int64(len(data))))
	if err != nil {
		return err
	}
	n.block = uint32(first)
	return w.write(data, first*BlockSize)
}

// writeInodes writes the area of the inodes in one sweep.
func (w *Writer) writeInodes(nodes []*Node, offset, size int64) error {
	out := bufio.NewWriterSize(io.NewOffsetWriter(w.out, offset), 1<<20)
	at := int64(0)
	pad := func(to int64) error {
		for at < to {
			n, err := out.Write(zeros[:min(to-at, int64(len(zeros)))])
			at += int64(n)
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, n := range nodes {
		if err := pad(int64(n.slot) * slotSize); err != nil {
			return err
		}
		for _, part := range [][]byte{n.encode(), n.xattrs, n.payload} {
			if _, err := out.Write(part); err != nil {
				return err
			}
			at += int64(len(part))
		}
		n.xattrs, n.payload = nil, nil
	}
	return errors.Join(pad(size), out.Flush())
}
