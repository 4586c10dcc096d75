package image

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/voidbox-run/voidbox/core/image/ext4"
	"github.com/voidbox-run/voidbox/core/image/lock"
)

// Scratch is a disk that one VM writes to and nobody keeps: an empty ext4 file system in a sparse file.
type Scratch struct {
	Path   string
	unlock func()
}

// Scratch makes a disk of size bytes, or a little less. It lies in the cache, which is on a disk, and not where sockets are, which is
// mostly memory. What processes that were killed have left there is removed on the way.
func (c *Cache) Scratch(size int64) (*Scratch, error) {
	dir := filepath.Join(c.dir, "scratch")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, c.explain(err)
	}
	sweepScratch(dir)
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, by its contract
	s := &Scratch{Path: filepath.Join(dir, hex.EncodeToString(id[:8])+".ext4")}
	var err error
	if s.unlock, err = lock.Try(s.Path); err != nil {
		return nil, c.explain(err)
	}
	if err := s.format(size, id); err != nil {
		return nil, errors.Join(c.explain(fmt.Errorf("make a disk: %w", err)), s.Remove())
	}
	return s, nil
}

func (s *Scratch) format(size int64, id [16]byte) error {
	f, err := os.OpenFile(s.Path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), ext4.Format(f, size, id), f.Close())
}

// Remove takes the name away. Who has opened the disk keeps it; the room is free when the last one closes it.
func (s *Scratch) Remove() error {
	if s == nil {
		return nil
	}
	defer s.unlock()
	return os.Remove(s.Path)
}

// sweepScratch removes disks that nobody holds.
func sweepScratch(dir string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if unlock, err := lock.Try(path); err == nil {
			_ = os.Remove(path)
			unlock()
		}
	}
}
