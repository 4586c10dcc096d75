// Package rootfs writes the lab's root file system: an initramfs, a newc archive that the kernel unpacks into memory. It is
// made anew for each boot, which costs less than looking whether an old one still fits.
package rootfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// Archive writes entries as it is told of them. The directories above an entry come of themselves.
type Archive struct {
	out   cpio.RecordWriter
	seen  map[string]bool
	inode uint64
}

// New returns an Archive on w.
func New(w io.Writer) *Archive {
	return &Archive{out: cpio.Newc.Writer(w), seen: map[string]bool{}}
}

// Close writes the trailer.
func (a *Archive) Close() error { return cpio.WriteTrailer(a.out) }

// Has says whether there is an entry of that name.
func (a *Archive) Has(name string) bool { return a.seen[clean(name)] }

// Dir adds a directory, unless it is there.
func (a *Archive) Dir(name string, perm fs.FileMode) error {
	if a.Has(name) {
		return nil
	}
	mode := unix.S_IFDIR | uint64(perm.Perm())
	if perm&fs.ModeSticky != 0 {
		mode |= unix.S_ISVTX
	}
	return a.add(name, cpio.Info{Mode: mode, NLink: 2}, nil, 0)
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) error {
	return a.Bytes(name, fs.ModeSymlink|0o777, []byte(target))
}

// Device adds a character device.
func (a *Archive) Device(name string, perm fs.FileMode, major, minor uint64) error {
	return a.add(name, cpio.Info{Mode: unix.S_IFCHR | uint64(perm.Perm()), NLink: 1, Rmajor: major, Rminor: minor}, nil, 0)
}

// Bytes adds a file with the given content.
func (a *Archive) Bytes(name string, mode fs.FileMode, content []byte) error {
	kind := uint64(unix.S_IFREG)
	if mode&fs.ModeSymlink != 0 {
		kind = unix.S_IFLNK
	}
	return a.add(name, cpio.Info{Mode: kind | uint64(mode.Perm()), NLink: 1}, bytes.NewReader(content), int64(len(content)))
}

// Copy adds a file of the host, or a directory with all that is in it. Links are followed. Everybody may read and, where
// anybody may, execute what is copied.
func (a *Archive) Copy(host, name string) error {
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return a.copyFile(host, name, info)
	}
	if err := a.Dir(name, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(host)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := a.Copy(filepath.Join(host, e.Name()), path.Join(name, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) copyFile(host, name string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is neither a file nor a directory", host)
	}
	f, err := os.Open(host)
	if err != nil {
		return err
	}
	defer f.Close()
	perm := uint64(0o644)
	if info.Mode()&0o111 != 0 {
		perm = 0o755
	}
	err = a.add(name, cpio.Info{Mode: unix.S_IFREG | perm, NLink: 1}, f, info.Size())
	if err != nil {
		return fmt.Errorf("put %s into the lab: %w", host, err)
	}
	return nil
}

func (a *Archive) add(name string, info cpio.Info, content io.ReaderAt, size int64) error {
	name = clean(name)
	if name == "" {
		return nil // the root is there
	}
	if a.seen[name] {
		return fmt.Errorf("/%s is given twice", name)
	}
	if err := a.Dir(path.Dir(name), 0o755); err != nil {
		return err
	}
	a.seen[name] = true
	a.inode++
	info.Ino, info.Name, info.FileSize = a.inode, name, uint64(size)
	record := cpio.Record{Info: info}
	if content != nil {
		record.ReaderAt = io.NewSectionReader(content, 0, size)
	}
	return a.out.WriteRecord(record)
}

// clean returns the name as the archive has it: without a leading slash, "" for the root.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }
