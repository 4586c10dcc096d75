package image

import (
	"bufio"
	"fmt"
	"io"

	"github.com/u-root/u-root/pkg/cpio"
)

// File type bits of a newc mode.
const (
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeLink    = 0o120000
	modeChar    = 0o020000
)

// segmentAlign is what a segment is padded to. The kernel asks for 4 bytes between archives; 512 also keeps a segment
// on a sector, for whoever reads it from a disk.
const segmentAlign = 512

// tree collects the records of one archive in the order in which the kernel creates them: a directory before what is
// in it. Times are zero and inode numbers count up, so the same calls give the same bytes.
type tree struct {
	records []cpio.Record
	seen    map[string]bool
}

// owner is a numeric user and group, equal in all that we write.
type owner uint64

const (
	rootUser    owner = 0
	sandboxUser owner = 1000
)

func (t *tree) add(name string, mode uint64, o owner, content []byte) {
	if t.seen == nil {
		t.seen = map[string]bool{}
	}
	if t.seen[name] {
		return // the first one counts, as with links to programs that exist twice
	}
	t.seen[name] = true
	links := uint64(1)
	if mode&modeDir != 0 {
		links = 2
	}
	t.records = append(t.records, cpio.StaticRecord(content, cpio.Info{
		Ino: uint64(len(t.records)) + 1, Mode: mode, UID: uint64(o), GID: uint64(o), NLink: links,
		FileSize: uint64(len(content)), Name: name,
	}))
}

func (t *tree) dir(name string, perm uint64, o owner)   { t.add(name, modeDir|perm, o, nil) }
func (t *tree) link(name, target string)                { t.add(name, modeLink|0o777, rootUser, []byte(target)) }
func (t *tree) file(name string, perm uint64, b []byte) { t.add(name, modeRegular|perm, rootUser, b) }

func (t *tree) charDevice(name string, perm, major, minor uint64) {
	t.add(name, modeChar|perm, rootUser, nil)
	r := &t.records[len(t.records)-1]
	r.Rmajor, r.Rminor = major, minor
}

// write puts out a complete archive, trailer and padding included.
func (t *tree) write(w io.Writer) error {
	out := &countingWriter{w: bufio.NewWriterSize(w, 1<<20)}
	archive := cpio.Newc.Writer(out)
	for _, r := range t.records {
		if err := archive.WriteRecord(r); err != nil {
			return fmt.Errorf("write %s: %w", r.Name, err)
		}
	}
	if err := cpio.WriteTrailer(archive); err != nil {
		return err
	}
	if _, err := out.Write(make([]byte, (segmentAlign-out.n%segmentAlign)%segmentAlign)); err != nil {
		return err
	}
	return out.w.Flush()
}

type countingWriter struct {
	w *bufio.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
