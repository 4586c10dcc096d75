package boot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/virtio"
)

// file is a regular file that is being read, as it was when it was opened.
type file struct {
	reader
	info fs.FileInfo
	size int64
}

// reader is what is needed of an os.File.
type reader interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

func open(path string) (*file, error) {
	// O_NONBLOCK: opening a pipe that nobody writes to must not hang.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		var wrapped *fs.PathError
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the caller names the file
		}
		return nil, err
	}
	opened, err := newFile(f)
	if err != nil {
		_ = f.Close()
	}
	return opened, err
}

func newFile(r reader) (*file, error) {
	info, err := r.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, invalid("it is not a regular file")
	}
	return &file{reader: r, info: info, size: info.Size()}, nil
}

func (f *file) close() { _ = f.Close() }

// readAt fills p from offset, which lies with all of p inside the file as it was opened.
func (f *file) readAt(p []byte, offset int64) error {
	n, err := f.ReadAt(p, offset)
	switch {
	case n == len(p):
		return nil
	case err == nil, errors.Is(err, io.EOF):
		return changed("it became shorter while it was read")
	}
	return err
}

// load reads size bytes at offset into guest memory at address.
func (f *file) load(mem *virtio.Memory, address uint64, offset int64, size uint64) error {
	if size == 0 {
		return nil
	}
	p, err := mem.Slice(address, size)
	if err != nil {
		return err
	}
	return f.readAt(p, offset)
}

// unchanged reports an error if the file is not what was opened any more, so that what was read may be half of the one and half
// of the other.
func (f *file) unchanged() error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != f.size || !info.ModTime().Equal(f.info.ModTime()) {
		return changed("it changed while it was read")
	}
	return nil
}

func changed(how string) error {
	return errdef.New(errdef.ErrAborted, "%s", how).WithReason("file_changed").
		WithRemedy("try again once nobody writes to it any more; replace files by renaming new ones over them")
}
