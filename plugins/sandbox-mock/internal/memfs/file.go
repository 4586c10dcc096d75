package memfs

import (
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
	"time"
)

// Device is a character device: what Read and Write of it do.
type Device interface {
	Read(b []byte) (int, error)
	Write(b []byte) (int, error)
}

// File is an open file. Its methods may be called concurrently.
type File struct {
	fs   *FS
	node *node
	path string
	flag int

	quota *Quota

	mu     sync.Mutex
	offset int64
	closed bool
}

// Open opens a file as open(2) does, with the flags of package os. A directory opens for reading, and reads fail.
func (f *FS) Open(u User, p string, flag int, perm fs.FileMode) (*File, error) {
	if err := u.Quota.take(); err != nil {
		return nil, pathError("open", p, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.open(u, p, flag, perm)
	if err != nil {
		u.Quota.giveBack()
		return nil, pathError("open", p, err)
	}
	n.open++
	return &File{fs: f, node: n, path: p, flag: flag, quota: u.Quota}, nil
}

func (f *FS) open(u User, p string, flag int, perm fs.FileMode) (*node, error) {
	at, err := f.find(u, p, true)
	if err != nil {
		return nil, err
	}
	if at.node == nil {
		if flag&os.O_CREATE == 0 || at.parent == nil {
			return nil, syscall.ENOENT
		}
		n := f.newNode(perm.Perm(), u)
		return n, f.link(u, at, n)
	}
	n := at.node
	if flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0 {
		return nil, syscall.EEXIST
	}
	want := fs.FileMode(4)
	switch flag & (os.O_WRONLY | os.O_RDWR) {
	case os.O_WRONLY:
		want = 2
	case os.O_RDWR:
		want = 6
	}
	switch {
	case !n.allows(u, want):
		return nil, syscall.EACCES
	case n.mode.IsDir() && want != 4:
		return nil, syscall.EISDIR
	case n.mode.Type() == fs.ModeNamedPipe:
		return nil, syscall.ENXIO
	}
	if flag&os.O_TRUNC != 0 && n.mode.IsRegular() {
		f.bytes -= int64(len(n.data))
		n.data, n.modified = nil, time.Now()
	}
	return n, nil
}

// Stat describes the open file.
func (o *File) Stat() Info {
	o.fs.mu.RLock()
	defer o.fs.mu.RUnlock()
	return o.node.info(path.Base(o.path))
}

func (o *File) Read(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.readAt(b, o.offset)
	o.offset += int64(n)
	return n, err
}

func (o *File) readAt(b []byte, offset int64) (int, error) {
	switch {
	case o.closed:
		return 0, fs.ErrClosed
	case o.flag&os.O_WRONLY != 0:
		return 0, pathError("read", o.path, syscall.EBADF)
	case o.node.device != nil:
		return o.node.device.Read(b)
	}
	o.fs.mu.RLock()
	defer o.fs.mu.RUnlock()
	if o.node.mode.IsDir() {
		return 0, pathError("read", o.path, syscall.EISDIR)
	}
	if offset >= int64(len(o.node.data)) {
		return 0, io.EOF
	}
	return copy(b, o.node.data[offset:]), nil
}

// Seek moves the offset.
func (o *File) Seek(offset int64, whence int) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += o.offset
	case io.SeekEnd:
		offset += o.Stat().Size
	}
	if offset < 0 {
		return 0, pathError("seek", o.path, syscall.EINVAL)
	}
	o.offset = offset
	return offset, nil
}

// Write writes at the offset, or at the end when the file was opened for appending. What the quota has no room for is left out,
// and the error is EFBIG.
func (o *File) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return 0, fs.ErrClosed
	case o.flag&(os.O_WRONLY|os.O_RDWR) == 0:
		return 0, pathError("write", o.path, syscall.EBADF)
	case o.node.device != nil:
		return o.node.device.Write(b)
	}
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if o.flag&os.O_APPEND != 0 {
		o.offset = int64(len(o.node.data))
	}
	var tooBig error
	if room := max(o.quota.reach()-o.offset, 0); int64(len(b)) > room {
		b, tooBig = b[:room], pathError("write", o.path, syscall.EFBIG)
	}
	if len(b) == 0 {
		return 0, tooBig
	}
	if err := o.fs.grow(o.node, o.offset+int64(len(b))); err != nil {
		return 0, pathError("write", o.path, err)
	}
	n := copy(o.node.data[o.offset:], b)
	o.offset += int64(n)
	o.node.modified = time.Now()
	return n, tooBig
}

// Truncate sets the size.
func (o *File) Truncate(size int64) error {
	if size > o.quota.reach() {
		return pathError("truncate", o.path, syscall.EFBIG)
	}
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if size < int64(len(o.node.data)) {
		o.fs.bytes -= int64(len(o.node.data)) - size
		o.node.data = append([]byte(nil), o.node.data[:size]...)
		return nil
	}
	return pathError("truncate", o.path, o.fs.grow(o.node, size))
}

// grow makes a file at least size bytes long, with zeros.
func (f *FS) grow(n *node, size int64) error {
	more := size - int64(len(n.data))
	if more <= 0 {
		return nil
	}
	if size < 0 || more > f.limits.Bytes-f.bytes {
		return syscall.ENOSPC
	}
	f.bytes += more
	n.data = append(n.data, make([]byte, more)...)
	return nil
}

// Close releases the file.
func (o *File) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return fs.ErrClosed
	}
	o.closed = true
	o.quota.giveBack()
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	o.node.open--
	o.fs.release(o.node)
	return nil
}

// ReadFile returns a whole file.
func (f *FS) ReadFile(u User, p string) ([]byte, error) {
	file, err := f.Open(u, p, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if file.node.device != nil {
		return nil, pathError("read", p, syscall.EINVAL)
	}
	return io.ReadAll(file)
}

// WriteFile makes or replaces the content of a file.
func (f *FS) WriteFile(u User, p string, content []byte, perm fs.FileMode) error {
	file, err := f.Open(u, p, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(content)
	return err
}
