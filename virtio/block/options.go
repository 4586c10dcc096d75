//go:build linux

package block

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// Options say how a disk looks to its guest. The zero value is a writable disk with one queue.
type Options struct {
	// ReadOnly offers the disk read-only; the file may be open either way then.
	ReadOnly bool
	// Serial is what the guest reads as the disk's identity (/sys/block/vda/serial), at most 20 bytes.
	Serial string
	// Queues is the number of request queues, one for each vCPU at best; 0 means 1.
	Queues int
	// Workers bounds the requests that wait for the host's storage at the same time, over all queues; 0 means 16. Each is
	// an operating-system thread while it waits; there are none before the first request that has to wait.
	Workers int
	// Logger receives the first I/O errors; nil means slog.Default.
	Logger *slog.Logger
}

const (
	sectorSize = 512 // the unit of the protocol, whatever the block size (section 5.2.4)
	serialSize = 20

	maxQueues      = 64
	maxWorkers     = 256
	defaultWorkers = 16
)

func (o *Options) setDefaults() error {
	if len(o.Serial) > serialSize {
		return fmt.Errorf("serial %q has %d bytes, at most %d are possible: %w", o.Serial, len(o.Serial), serialSize, fs.ErrInvalid)
	}
	if o.Queues < 0 || o.Queues > maxQueues {
		return fmt.Errorf("%d queues, at most %d are possible: %w", o.Queues, maxQueues, fs.ErrInvalid)
	}
	if o.Workers < 0 || o.Workers > maxWorkers {
		return fmt.Errorf("%d workers, at most %d are possible: %w", o.Workers, maxWorkers, fs.ErrInvalid)
	}
	o.Queues = max(o.Queues, 1)
	if o.Workers == 0 {
		o.Workers = defaultWorkers
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

// geometry is what New finds out about a file before it serves it.
type geometry struct {
	sectors uint64
	// physicalExp is the binary logarithm of the blocks, in sectors, that the host writes without reading them first.
	physicalExp uint8
}

// inspect checks that file can be served with the options and measures it.
func inspect(file *os.File, o *Options) (geometry, error) {
	var g geometry
	var st unix.Stat_t
	fd := int(file.Fd())
	if err := unix.Fstat(fd, &st); err != nil {
		return g, &fs.PathError{Op: "stat", Path: file.Name(), Err: err}
	}
	if err := checkFlags(fd, o.ReadOnly); err != nil {
		return g, err
	}
	size, err := int64(0), error(nil)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		size = st.Size
	case unix.S_IFBLK:
		// The offset of a disk's end is its size, and unlike an ioctl seeking needs no exception in a jail.
		if size, err = unix.Seek(fd, 0, unix.SEEK_END); err != nil {
			return g, &fs.PathError{Op: "seek", Path: file.Name(), Err: err}
		}
	default:
		return g, fmt.Errorf("it is neither a regular file nor a block device: %w", fs.ErrInvalid)
	}
	if size == 0 || size%sectorSize != 0 {
		return g, fmt.Errorf("its size of %d bytes is no multiple of %d above 0: %w", size, sectorSize, fs.ErrInvalid)
	}
	g.sectors = uint64(size) / sectorSize
	for block := st.Blksize; block > sectorSize && g.physicalExp < 3; block /= 2 {
		g.physicalExp++
	}
	return g, nil
}

// checkFlags refuses what would make every request fail, or land in the wrong place.
func checkFlags(fd int, readOnly bool) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("read its flags: %w", err)
	}
	access := flags & unix.O_ACCMODE
	switch {
	case access == unix.O_WRONLY:
		return fmt.Errorf("it is open for writing only: %w", fs.ErrInvalid)
	case access == unix.O_RDONLY && !readOnly:
		return fmt.Errorf("it is open read-only and the disk is not: %w", fs.ErrPermission)
	case flags&unix.O_APPEND != 0:
		return fmt.Errorf("it is open for appending, which ignores where a write belongs: %w", fs.ErrInvalid)
	case flags&unix.O_DIRECT != 0:
		return fmt.Errorf("it is open for direct I/O, whose alignment guests do not keep: %w", fs.ErrInvalid)
	}
	return nil
}
