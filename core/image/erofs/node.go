package erofs

import (
	"fmt"
	"sort"
	"strings"
)

// Node is a file, of whatever type. A file with several names is one Node in several directories.
type Node struct {
	Mode         uint16 // type and permissions, as st_mode
	UID, GID     uint32
	Seconds      int64 // modification time
	Nanoseconds  uint32
	Major, Minor uint32            // Block and Char
	Target       string            // Symlink
	Content      *Content          // Regular; nil means empty
	Xattrs       map[string]string // by full name
	Children     map[string]*Node  // Dir

	links   uint32 // names that lead here, counted by layout
	slot    uint64 // its inode number; 0 until it has one
	size    uint64
	payload []byte // what stands behind the inode
	apart   bool   // it stands in blocks of its own instead, from block on
	block   uint32
	xattrs  []byte // encoded
}

// Bounds of the format and of Linux.
const (
	MaxName   = 255
	MaxTarget = 4095 // PATH_MAX without its zero byte
	maxXattr  = 65535
	// maxXattrArea follows from the 16 bits that count it.
	maxXattrArea = xattrHeader + 4*65534
)

// Type is the type of the file: Regular, Dir and so on.
func (n *Node) Type() uint16 { return n.Mode & TypeMask }

// IsDir tells whether n is a directory.
func (n *Node) IsDir() bool { return n.Type() == Dir }

// KnownXattr tells whether the format can hold an extended attribute of that name.
func KnownXattr(name string) bool {
	_, _, ok := splitXattr(name)
	return ok
}

func splitXattr(name string) (index byte, rest string, ok bool) {
	for _, p := range xattrPrefixes {
		rest, found := strings.CutPrefix(name, p.prefix)
		if found && (rest != "") == strings.HasSuffix(p.prefix, ".") {
			return p.index, rest, len(rest) <= 255
		}
	}
	return 0, "", false
}

// encodeXattrs returns the area behind an inode; nothing where there are no attributes.
func (n *Node) encodeXattrs() ([]byte, error) {
	if len(n.Xattrs) == 0 {
		return nil, nil
	}
	area := make([]byte, xattrHeader)
	for _, name := range sortedNames(n.Xattrs) {
		value := n.Xattrs[name]
		index, rest, ok := splitXattr(name)
		if !ok || len(value) > maxXattr {
			return nil, fmt.Errorf("extended attribute %q of %d bytes does not fit the format", name, len(value))
		}
		area = append(area, byte(len(rest)), index, byte(len(value)), byte(len(value)>>8))
		area = append(append(area, rest...), value...)
		area = append(area, make([]byte, alignUp(len(area), 4)-len(area))...)
	}
	if len(area) > maxXattrArea {
		return nil, fmt.Errorf("extended attributes of %d bytes in all do not fit the format", len(area))
	}
	return area, nil
}

// check refuses what the format cannot hold.
func (n *Node) check() error {
	if _, known := direntTypes[n.Type()]; !known {
		return fmt.Errorf("mode %o names no type of file", n.Mode)
	}
	if n.Type() == Symlink && (n.Target == "" || len(n.Target) > MaxTarget) {
		return fmt.Errorf("a symbolic link to a target of %d bytes", len(n.Target))
	}
	return nil
}

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > MaxName || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q cannot be the name of a file", name)
	}
	return nil
}

func sortedNames[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
