//go:build linux

package sharefs

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// admitAttr tells whether the guest may have an extended attribute: those of users, but ours. Attributes of the other kinds mean
// something to the host's kernel.
func admitAttr(name string) bool {
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, share.HiddenPrefix)
}

// getxattr answers GETXATTR.
func (f *FS) getxattr(q *Request) error {
	d := fuse.Decode(q.Body)
	size := d.Uint32()
	d.Skip(4)
	name := d.String()
	if err := d.Err(); err != nil {
		return err
	}
	n, err := f.table.get(q.Header.Node)
	if err != nil {
		return err
	}
	switch {
	case n.mount == nil || strings.HasPrefix(name, "system."):
		return unix.EOPNOTSUPP
	case !admitAttr(name):
		return unix.ENODATA
	}
	defer n.mount.look()()
	return f.withBody(n, func(fd int) error {
		b := make([]byte, min(int(size), maxAttr))
		got, err := hostfs.Getxattr(fd, name, b)
		if err != nil {
			return err
		}
		return answerAttr(q, size, b[:min(got, len(b))], got)
	})
}

// maxAttr is XATTR_SIZE_MAX.
const maxAttr = 64 << 10

// answerAttr answers with a value, or with its size where the guest asks for that.
func answerAttr(q *Request, size uint32, value []byte, length int) error {
	switch {
	case size == 0:
		q.Reply = fuse.AppendUint32(q.Reply, uint32(length))
	case length > int(size):
		return unix.ERANGE
	default:
		q.Reply = append(q.Reply, value...)
	}
	return nil
}

// withBody runs an operation on the descriptor of a node's contents.
func (f *FS) withBody(n *node, do func(fd int) error) error {
	d, err := f.table.hold(f.table.bodyOf(n))
	if err != nil {
		return err
	}
	defer f.table.release(d)
	return do(d.fd)
}

// listxattr answers LISTXATTR.
func (f *FS) listxattr(q *Request) error {
	d := fuse.Decode(q.Body)
	size := d.Uint32()
	if err := d.Err(); err != nil {
		return err
	}
	n, err := f.node(q.Header.Node)
	if err != nil {
		return err
	}
	defer n.mount.look()()
	return f.withBody(n, func(fd int) error {
		all, err := hostfs.Listxattr(fd)
		if err != nil {
			return err
		}
		var seen []byte
		for name := range bytes.SplitSeq(all, []byte{0}) {
			if admitAttr(string(name)) {
				seen = append(append(seen, name...), 0)
			}
		}
		return answerAttr(q, size, seen, len(seen))
	})
}

// setxattr answers SETXATTR.
func (f *FS) setxattr(q *Request) error {
	d := fuse.Decode(q.Body)
	size, flags := d.Uint32(), d.Uint32()
	name := d.String()
	value := d.Bytes(int(size))
	if err := d.Err(); err != nil {
		return err
	}
	return f.changeAttr(q, name, func(fd int) error { return hostfs.Setxattr(fd, name, value, int(flags)) })
}

// removexattr answers REMOVEXATTR.
func (f *FS) removexattr(q *Request) error {
	d := fuse.Decode(q.Body)
	name := d.String()
	if err := d.Err(); err != nil {
		return err
	}
	return f.changeAttr(q, name, func(fd int) error { return hostfs.Removexattr(fd, name) })
}

func (f *FS) changeAttr(q *Request, name string, do func(fd int) error) error {
	n, err := f.node(q.Header.Node)
	switch {
	case err != nil:
		return err
	case n.mount.ReadOnly:
		return unix.EROFS
	case strings.HasPrefix(name, share.HiddenPrefix):
		return unix.EPERM
	case !admitAttr(name):
		return unix.EOPNOTSUPP
	}
	defer n.mount.change()()
	if err := f.raise(n); err != nil {
		return err
	}
	return f.withBody(n, do)
}

// readlink answers READLINK.
func (f *FS) readlink(q *Request) error {
	n, err := f.node(q.Header.Node)
	if err != nil {
		return err
	}
	defer n.mount.look()()
	return f.withBody(n, func(fd int) error {
		target, err := hostfs.Readlink(fd, "")
		q.Reply = append(q.Reply, target...)
		return err
	})
}
