package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/voidbox-run/voidbox/core/image/erofs"
)

// Layer is what one layer changes, in its own order.
type Layer struct{ changes []change }

// change is one entry of the archive.
type change struct {
	path   []string // names from the root on; empty is the root itself
	kind   kind
	node   *erofs.Node // put
	target []string    // link: the name whose file it is
}

type kind byte

const (
	put     kind = iota // a file, of whatever type
	link                // another name of a file
	hide                // a whiteout
	opaque              // the directory hides what lower layers have in it
	ignored             // AUFS's own records
)

// InvalidError says that a layer cannot be what it should be.
type InvalidError struct {
	Name string // the entry; empty for the archive as a whole
	Err  error
}

func (e *InvalidError) Error() string {
	if e.Name == "" {
		return "the layer is damaged: " + e.Err.Error()
	}
	return fmt.Sprintf("the layer's entry %q: %v", e.Name, e.Err)
}

func (e *InvalidError) Unwrap() error { return e.Err }

// Read reads an archive to its end, and puts the content of its files into an image. a is the caller's to flush.
func Read(ctx context.Context, r io.Reader, a *erofs.Appender, b *Budget) (*Layer, error) {
	l := &Layer{}
	archive := tar.NewReader(r)
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		h, err := archive.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, r) // padding; and r may want to see its own end
			return l, err
		}
		if err != nil {
			return nil, damaged("", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := b.file(headerBytes(h)); err != nil {
			return nil, err
		}
		c, err := parse(h)
		if err != nil {
			return nil, &InvalidError{h.Name, err}
		}
		if c.kind == put && c.node.Type() == erofs.Regular {
			if err := b.content(h.Size); err != nil {
				return nil, err
			}
			source := &sourceReader{r: archive}
			if c.node.Content, err = a.Append(source, h.Size); err != nil {
				if source.err != nil || errors.Is(err, io.ErrUnexpectedEOF) {
					err = damaged(h.Name, err)
				}
				return nil, err
			}
		}
		l.changes = append(l.changes, c)
	}
}

// sourceReader remembers whether it was reading that failed, and not writing.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// damaged leaves an error that has an explanation of its own as it is.
func damaged(name string, err error) error {
	var limit *LimitError
	if errors.As(err, &limit) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &InvalidError{name, err}
}

func headerBytes(h *tar.Header) int {
	n := 256 + len(h.Name) + len(h.Linkname)
	for key, value := range h.PAXRecords {
		n += len(key) + len(value)
	}
	return n
}

// Names that take away.
const (
	whiteoutPrefix = ".wh."
	metaPrefix     = ".wh..wh."
	opaqueName     = ".wh..wh..opq"
)

func parse(h *tar.Header) (change, error) {
	path, err := split(h.Name)
	if err != nil {
		return change{}, err
	}
	c := change{path: path}
	if len(path) > 0 {
		dir, last := path[:len(path)-1], path[len(path)-1]
		hidden, whiteout := strings.CutPrefix(last, whiteoutPrefix)
		switch {
		case last == opaqueName:
			return change{path: dir, kind: opaque}, nil
		case strings.HasPrefix(last, metaPrefix):
			return change{kind: ignored}, nil
		case whiteout && (hidden == "" || hidden == "." || hidden == ".."):
			return c, errors.New("a whiteout of nothing")
		case whiteout:
			return change{path: append(dir[:len(dir):len(dir)], hidden), kind: hide}, nil
		}
	}
	if h.Typeflag == tar.TypeLink {
		c.kind = link
		if c.target, err = split(h.Linkname); err == nil && (len(c.target) == 0 || len(path) == 0) {
			err = errors.New("a hard link to a directory")
		}
		return c, err
	}
	c.node, err = newNode(h)
	if err == nil && len(path) == 0 && !c.node.IsDir() {
		err = errors.New("the root must be a directory")
	}
	return c, err
}

// maxPath is PATH_MAX.
const maxPath = 4096

// split takes a name apart. It begins at the root in any case.
func split(name string) ([]string, error) {
	if len(name) > maxPath {
		return nil, fmt.Errorf("a name of %d bytes", len(name))
	}
	var path []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return nil, errors.New(`a name with ".." in it`)
		case len(part) > erofs.MaxName:
			return nil, fmt.Errorf("a name of %d bytes", len(part))
		case strings.ContainsRune(part, 0):
			return nil, errors.New("a name with a zero byte in it")
		}
		path = append(path, part)
	}
	return path, nil
}

var types = map[byte]uint16{
	tar.TypeReg: erofs.Regular, tar.TypeGNUSparse: erofs.Regular, tar.TypeCont: erofs.Regular,
	tar.TypeDir: erofs.Dir, tar.TypeSymlink: erofs.Symlink, tar.TypeChar: erofs.Char, tar.TypeBlock: erofs.Block, tar.TypeFifo: erofs.FIFO,
}

// xattrRecord is the prefix of PAX records that hold extended attributes.
const xattrRecord = "SCHILY.xattr."

func newNode(h *tar.Header) (*erofs.Node, error) {
	fileType, known := types[h.Typeflag]
	if !known {
		return nil, fmt.Errorf("an entry of the unknown type %q", h.Typeflag)
	}
	if h.Uid < 0 || h.Gid < 0 || h.Uid >= math.MaxUint32 || h.Gid >= math.MaxUint32 {
		return nil, fmt.Errorf("owner %d:%d", h.Uid, h.Gid)
	}
	n := &erofs.Node{Mode: fileType | uint16(h.Mode&0o7777), UID: uint32(h.Uid), GID: uint32(h.Gid)}
	if !h.ModTime.IsZero() {
		n.Seconds, n.Nanoseconds = h.ModTime.Unix(), uint32(h.ModTime.Nanosecond())
	}
	switch fileType {
	case erofs.Symlink:
		if h.Linkname == "" || len(h.Linkname) > erofs.MaxTarget || strings.ContainsRune(h.Linkname, 0) {
			return nil, fmt.Errorf("a symbolic link to a target of %d bytes", len(h.Linkname))
		}
		n.Target = h.Linkname
	case erofs.Char, erofs.Block:
		if h.Devmajor < 0 || h.Devmajor >= 1<<12 || h.Devminor < 0 || h.Devminor >= 1<<20 {
			return nil, fmt.Errorf("device number %d:%d", h.Devmajor, h.Devminor)
		}
		n.Major, n.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	}
	return n, setXattrs(n, h.PAXRecords)
}

// setXattrs takes those that the image can hold, less those by which overlayfs talks to itself: the image is to be its lower
// layer, which nothing in a layer may rewrite.
func setXattrs(n *erofs.Node, records map[string]string) error {
	total := 0
	for key, value := range records {
		name, ok := strings.CutPrefix(key, xattrRecord)
		if !ok || !keepXattr(name) {
			continue
		}
		if total += len(name) + len(value) + 8; total > maxXattrs {
			return fmt.Errorf("extended attributes of more than %d bytes", maxXattrs)
		}
		if n.Xattrs == nil {
			n.Xattrs = map[string]string{}
		}
		n.Xattrs[name] = value
	}
	return nil
}

// maxXattrs is what Linux lists of one file.
const maxXattrs = 64 << 10

func keepXattr(name string) bool {
	return erofs.KnownXattr(name) && !strings.HasPrefix(name, "trusted.overlay.") && !strings.HasPrefix(name, "user.overlay.")
}
