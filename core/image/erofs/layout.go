package erofs

import (
	"encoding/binary"
	"fmt"
	"sort"
)

// layout gives each node the place of its inode.
type layout struct {
	w     *Writer
	nodes []*Node
	at    int // end of the last inode, from the beginning of their area
}

// visit places n and all below it. A node with several names is placed where it is met first.
func (l *layout) visit(n *Node, name string) error {
	n.links++
	if n.slot != 0 {
		if n.IsDir() {
			return fmt.Errorf("%s: a directory with two names", name)
		}
		return nil
	}
	if err := l.place(n); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !n.IsDir() {
		return nil
	}
	n.links++ // its own "."
	for _, child := range sortedNames(n.Children) {
		if err := checkName(child); err != nil {
			return err
		}
		below := n.Children[child]
		if below.IsDir() {
			n.links++
		}
		if err := l.visit(below, name+"/"+child); err != nil {
			return err
		}
	}
	return nil
}

// place puts an inode, with what stands behind it, where it does not cross the end of a block.
func (l *layout) place(n *Node) (err error) {
	if err := n.check(); err != nil {
		return err
	}
	if n.xattrs, err = n.encodeXattrs(); err != nil {
		return err
	}
	size := inodeSize + len(n.xattrs)
	behind := n.measure()
	if n.apart = behind > maxInline && n.IsDir() || size+behind > BlockSize; !n.apart {
		size += behind
	} else if len(n.payload) > 0 {
		if err := l.w.spill(n, n.payload); err != nil {
			return err
		}
		n.payload = nil
	}
	size = alignUp(size, slotSize)
	if l.at/BlockSize != (l.at+size-1)/BlockSize {
		l.at = alignUp(l.at, BlockSize)
	}
	n.slot = uint64(l.at / slotSize)
	l.at += size
	l.nodes = append(l.nodes, n)
	return nil
}

// measure settles the size of n, and returns how much of its content is to stand behind the inode. That of a directory is not
// made yet: it needs the places of all others.
func (n *Node) measure() int {
	switch n.Type() {
	case Dir:
		n.size = uint64(n.dirSize())
		return int(n.size)
	case Symlink:
		n.payload, n.size = []byte(n.Target), uint64(len(n.Target))
	case Regular:
		n.size = uint64(n.Content.Size())
		if n.Content != nil {
			n.payload, n.block = n.Content.inline, uint32(n.Content.block)
		}
	}
	return len(n.payload)
}

// encode returns the inode without what stands behind it.
func (n *Node) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, inodeSize)
	format := uint16(extendedInode | flatPlain)
	if len(n.payload) > 0 {
		format = extendedInode | flatInline
	}
	le.PutUint16(b[0:], format)
	if len(n.xattrs) > 0 {
		le.PutUint16(b[2:], uint16((len(n.xattrs)-xattrHeader)/4+1))
	}
	le.PutUint16(b[4:], n.Mode)
	le.PutUint64(b[8:], n.size)
	le.PutUint32(b[16:], n.block)
	if t := n.Type(); t == Char || t == Block {
		le.PutUint32(b[16:], deviceNumber(n.Major, n.Minor))
	}
	le.PutUint32(b[20:], uint32(n.slot))
	le.PutUint32(b[24:], n.UID)
	le.PutUint32(b[28:], n.GID)
	le.PutUint64(b[32:], uint64(n.Seconds))
	le.PutUint32(b[40:], n.Nanoseconds)
	le.PutUint32(b[44:], n.links)
	return b
}

// dirNames returns the names in a directory, its own and its parent's included, in the order that lookup searches them in.
func (n *Node) dirNames() []string {
	names := make([]string, 0, len(n.Children)+2)
	names = append(names, ".", "..")
	for name := range n.Children {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// dirBlocks cuts names into what fits a block each, and calls fn with each cut and the bytes that it takes.
func dirBlocks(names []string, fn func(part []string, size int)) {
	for len(names) > 0 {
		size, n := 0, 0
		for n < len(names) && size+direntSize+len(names[n]) <= BlockSize {
			size += direntSize + len(names[n])
			n++
		}
		fn(names[:n], size)
		names = names[n:]
	}
}

// dirSize is the length of encodeDir's result.
func (n *Node) dirSize() int {
	total, last := 0, 0
	dirBlocks(n.dirNames(), func(_ []string, size int) {
		total += BlockSize
		last = size
	})
	return total - BlockSize + last
}

// encodeDir returns the entries of a directory: in each block first all fixed parts, then all names.
func (n *Node) encodeDir(parent *Node) []byte {
	le := binary.LittleEndian
	out := make([]byte, 0, n.dirSize())
	dirBlocks(n.dirNames(), func(part []string, _ int) {
		out = append(out, make([]byte, alignUp(len(out), BlockSize)-len(out))...)
		nameAt := direntSize * len(part)
		for _, name := range part {
			node := n.entry(name, parent)
			out = le.AppendUint64(out, node.slot)
			out = le.AppendUint16(out, uint16(nameAt))
			out = append(out, direntTypes[node.Type()], 0)
			nameAt += len(name)
		}
		for _, name := range part {
			out = append(out, name...)
		}
	})
	return out
}

func (n *Node) entry(name string, parent *Node) *Node {
	switch name {
	case ".":
		return n
	case "..":
		return parent
	}
	return n.Children[name]
}
