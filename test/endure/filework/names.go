//go:build linux

package filework

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// renameRound moves files among directories, and finds each again where it has to be.
func renameRound(b *bench) error {
	const dirs, files, moves = 4, 16, 100
	where := map[string]string{} // path to contents
	for d := range dirs {
		if err := os.Mkdir(b.at(strconv.Itoa(d)), 0o755); err != nil {
			return err
		}
	}
	place := func() string { return b.at(fmt.Sprintf("%d/%d", b.rand.IntN(dirs), b.rand.IntN(files))) }
	for i := range files {
		p := place()
		text := strconv.Itoa(i)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			return err
		}
		where[p] = text
	}
	for range moves {
		if err := b.move(where, place(), place()); err != nil {
			return err
		}
	}
	for p, want := range where {
		got, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if err := compare("a file that was moved", got, []byte(want)); err != nil {
			return err
		}
		if err := os.Remove(p); err != nil {
			return err
		}
	}
	for d := range dirs { // which fails if there is more than there should be
		if err := os.Remove(b.at(strconv.Itoa(d))); err != nil {
			return err
		}
	}
	return nil
}

// move renames one place to another, by one of three ways.
func (b *bench) move(where map[string]string, from, to string) error {
	text, there := where[from]
	other, taken := where[to]
	flags := []uint{0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[b.rand.IntN(3)]
	var want error
	switch {
	case !there, flags == unix.RENAME_EXCHANGE && !taken:
		want = unix.ENOENT
	case flags == unix.RENAME_NOREPLACE && taken:
		want = unix.EEXIST
	}
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags); !errors.Is(err, want) {
		return fmt.Errorf("rename %s to %s with flags %d: %v, want %v", from, to, flags, err, want)
	}
	if want != nil || from == to {
		return nil
	}
	delete(where, from)
	where[to] = text
	if flags == unix.RENAME_EXCHANGE {
		where[from] = other
	}
	return nil
}

// treeRound makes a tree, walks it, and removes it.
func treeRound(b *bench) error {
	const width, depth = 4, 3
	root := b.at("tree")
	made, err := grow(root, width, depth)
	if err != nil {
		return err
	}
	moved := b.at("moved")
	if err := os.Rename(root, moved); err != nil {
		return err
	}
	found, err := count(moved)
	if err != nil {
		return err
	}
	if found != made {
		return fmt.Errorf("%d of %d files are left of a tree: %w", found, made, errDiffers)
	}
	return os.RemoveAll(moved)
}

func grow(dir string, width, depth int) (made int, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	for i := range width {
		path := fmt.Sprintf("%s/f%d", dir, i)
		if err := os.WriteFile(path, []byte(path), 0o644); err != nil {
			return made, err
		}
		if err := os.Symlink("f"+strconv.Itoa(i), fmt.Sprintf("%s/l%d", dir, i)); err != nil {
			return made, err
		}
		made += 2
		if depth > 0 {
			n, err := grow(fmt.Sprintf("%s/d%d", dir, i), width, depth-1)
			made += n
			if err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

func count(dir string) (found int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		if e.IsDir() {
			n, err := count(path)
			found += n
			if err != nil {
				return found, err
			}
			continue
		}
		if _, err := os.ReadFile(path); err != nil {
			return found, err
		}
		found++
	}
	return found, nil
}

// lockRound has several count in one file, each turn under a lock.
func lockRound(b *bench) error {
	const counters, turns = 4, 25
	if err := os.WriteFile(b.at("count"), make([]byte, 8), 0o644); err != nil {
		return err
	}
	byFlock := b.rand.IntN(2) == 0
	var group errgroup.Group
	for range counters {
		group.Go(func() error {
			f, err := os.OpenFile(b.at("count"), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			for range turns {
				if err := turn(f, byFlock); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	got, err := os.ReadFile(b.at("count"))
	if err != nil {
		return err
	}
	return errors.Join(compare("a counter", got, binary.LittleEndian.AppendUint64(nil, counters*turns)), os.Remove(b.at("count")))
}

// turn adds one.
func turn(f *os.File, byFlock bool) error {
	lock := func(kind int16, how int) error {
		if byFlock {
			return unix.Flock(int(f.Fd()), how)
		}
		return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, &unix.Flock_t{Type: kind, Whence: unix.SEEK_SET, Len: 8})
	}
	if err := lock(unix.F_WRLCK, unix.LOCK_EX); err != nil {
		return err
	}
	var b [8]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(b[:], binary.LittleEndian.Uint64(b[:])+1)
	if _, err := f.WriteAt(b[:], 0); err != nil {
		return err
	}
	return lock(unix.F_UNLCK, unix.LOCK_UN)
}

// appendRound has several append to one file.
func appendRound(b *bench) error {
	const writers, records, length = 4, 50, 100
	var group errgroup.Group
	for w := range writers {
		group.Go(func() error {
			f, err := os.OpenFile(b.at("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
			if err != nil {
				return err
			}
			defer f.Close()
			for range records {
				if _, err := f.Write(bytes.Repeat([]byte{'a' + byte(w)}, length)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	got, err := os.ReadFile(b.at("log"))
	if err != nil {
		return err
	}
	if len(got) != writers*records*length {
		return differs("the length of a log", len(got))
	}
	for at := 0; at < len(got); at += length {
		if err := compare("a record of a log", got[at:at+length], bytes.Repeat(got[at:at+1], length)); err != nil {
			return err
		}
	}
	return os.Remove(b.at("log"))
}
