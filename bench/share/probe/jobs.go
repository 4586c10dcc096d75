//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// job is one kind of work. What it returns is in its unit: a rate, or the time it took.
type job struct {
	name string
	unit string
	do   func(s *side) (float64, error)
}

// The work is small, since an emulated CPU does it. The host has made the file and the tree (bench/share).
const (
	mib    = 1 << 20
	block  = 4 << 10
	blocks = 400 // of random access
	files  = 200 // made and removed
	dirs   = 10  // that these are in
)

var jobs = []job{
	{"sequential read of 1 MiB, O_DIRECT", "MB/s", func(s *side) (float64, error) { return sequential(s.dir+"/file", unix.O_RDONLY|unix.O_DIRECT, 4) }},
	{"sequential write of 1 MiB, O_DIRECT", "MB/s", func(s *side) (float64, error) { return sequential(s.own+"/file", unix.O_WRONLY|unix.O_DIRECT, 4) }},
	{"sequential read of 1 MiB, through the guest's cache, cold", "MB/s", func(s *side) (float64, error) { return sequential(s.dir+"/file", unix.O_RDONLY, 1) }},
	{"sequential write of 1 MiB, through the guest's cache", "MB/s", func(s *side) (float64, error) { return sequential(s.own+"/file", unix.O_WRONLY, 1) }},
	{"random read of 4 KiB, O_DIRECT", "1/s", func(s *side) (float64, error) { return random(s.dir+"/file", unix.O_RDONLY|unix.O_DIRECT) }},
	{"random write of 4 KiB, O_DIRECT", "1/s", func(s *side) (float64, error) { return random(s.own+"/file", unix.O_WRONLY|unix.O_DIRECT) }},
	{"readdir and lstat of a tree, cold", "ms", walk},
	{"lstat of each name of a tree, cold", "ms", status},
	{"make 200 files of 4 KiB in 10 directories, set times", "ms", untar},
	{"remove 200 files and 10 directories", "ms", remove},
}

// pages returns memory that is aligned as O_DIRECT wants it.
func pages(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANONYMOUS|unix.MAP_PRIVATE)
}

// transfer is pread or pwrite, as the flags of an open file say.
func transfer(flags int) func(fd int, p []byte, offset int64) (int, error) {
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return unix.Pread
	}
	return unix.Pwrite
}

// sequential goes through a file so many times. Neither mount has a write-back cache, so that what is written is at the host.
func sequential(path string, flags, passes int) (float64, error) {
	fd, size, err := open(path, flags)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	buf, err := pages(mib)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(buf)
	move := transfer(flags)
	begun := time.Now()
	for at := int64(0); at < int64(passes)*size; at += mib {
		if err := whole(move(fd, buf, at%size))(mib); err != nil {
			return 0, err
		}
	}
	return float64(passes) * float64(size) / 1e6 / time.Since(begun).Seconds(), nil
}

// random moves blocks one after another.
func random(path string, flags int) (float64, error) {
	fd, size, err := open(path, flags)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	buf, err := pages(block)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(buf)
	move := transfer(flags)
	begun := time.Now()
	for range blocks {
		if err := whole(move(fd, buf, rand.Int64N(size/block)*block))(block); err != nil {
			return 0, err
		}
	}
	return blocks / time.Since(begun).Seconds(), nil
}

func open(path string, flags int) (fd int, size int64, err error) {
	fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, 0, errors.Join(err, unix.Close(fd))
	}
	return fd, st.Size, nil
}

// whole judges what a transfer has returned.
func whole(n int, err error) func(want int) error {
	return func(want int) error {
		if err == nil && n != want {
			return io.ErrShortWrite
		}
		return err
	}
}

// walk lists every directory of the tree and looks at every name.
func walk(s *side) (float64, error) {
	begun := time.Now()
	err := filepath.WalkDir(s.dir+"/tree", func(path string, d os.DirEntry, err error) error {
		if err == nil {
			_, err = d.Info()
		}
		return err
	})
	return time.Since(begun).Seconds() * 1e3, err
}

// status looks at names that it knows, as `git status` does.
func status(s *side) (float64, error) {
	var st unix.Stat_t
	begun := time.Now()
	for d := range s.treeDirs {
		for f := range s.treeFiles {
			path := fmt.Sprintf("%s/tree/d%d/f%d", s.dir, d, f)
			if err := unix.Lstat(path, &st); err != nil {
				return 0, &os.PathError{Op: "lstat", Path: path, Err: err}
			}
		}
	}
	return time.Since(begun).Seconds() * 1e3, nil
}

// untar makes files as tar does.
func untar(s *side) (float64, error) {
	if err := os.RemoveAll(s.own + "/made"); err != nil {
		return 0, err
	}
	content, then := make([]byte, block), time.Unix(1e9, 0)
	begun := time.Now()
	for d := range dirs {
		dir := fmt.Sprintf("%s/made/d%d", s.own, d)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return 0, err
		}
		for f := range files / dirs {
			path := fmt.Sprintf("%s/f%d", dir, f)
			if err := os.WriteFile(path, content, 0o644); err != nil {
				return 0, err
			}
			if err := os.Chtimes(path, then, then); err != nil {
				return 0, err
			}
		}
	}
	return time.Since(begun).Seconds() * 1e3, nil
}

func remove(s *side) (float64, error) {
	if _, err := untar(s); err != nil {
		return 0, err
	}
	begun := time.Now()
	err := os.RemoveAll(s.own + "/made")
	return time.Since(begun).Seconds() * 1e3, err
}
