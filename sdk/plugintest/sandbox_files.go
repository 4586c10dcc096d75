package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

var fileCases = slices.Concat(contentCases, linkCases, treeCases, archiveCases)

var contentCases = []sandboxCase{
	{"what is written is read", func(s *session) {
		dir := s.dir()
		for _, size := range []int{0, 1, sandbox.ChunkBytes, 1<<20 + 1, 5 << 20} {
			want, path := string(noise(size)), fmt.Sprintf("%s/%d", dir, size)
			s.write(path, want, sandbox.WriteOptions{})
			equalText(s, "content", s.read(path), want)
			f, err := s.Stat(s.ctx, path, false)
			s.must(err)
			equal(s, "size", f.Size, uint64(size))
		}
	}},
	{"commands see written files, and the other way round", func(s *session) {
		dir := s.dir()
		s.write(dir+"/in", "from outside", sandbox.WriteOptions{})
		equalText(s, "seen inside", s.sh("cat %s/in", dir), "from outside")
		s.sh("printf 'from inside' > %s/out", dir)
		equalText(s, "seen outside", s.read(dir+"/out"), "from inside")
		s.sh("echo more >> %s/in; rm %s/out", dir, dir)
		equalText(s, "appended", s.read(dir+"/in"), "from outsidemore\n")
		equalList(s, "names", s.names(dir), "in")
	}},
	{"ranges", func(s *session) {
		path := s.dir() + "/file"
		content := string(noise(300_000))
		s.write(path, content, sandbox.WriteOptions{})
		for _, p := range [][2]uint64{{0, 0}, {0, 10}, {10, 0}, {5, 7}, {100_000, 150_000}, {299_999, 5}, {300_000, 5}, {1 << 40, 1}} {
			r := sandbox.Range{Offset: p[0], Limit: p[1]}
			from := min(r.Offset, 300_000)
			to := uint64(300_000)
			if r.Limit > 0 {
				to = min(from+r.Limit, to)
			}
			f, err := s.ReadFile(s.ctx, path, r)
			s.must(err)
			got, err := io.ReadAll(f)
			s.must(err)
			s.must(f.Close())
			equalText(s, fmt.Sprintf("range %+v", r), string(got), content[from:to])
		}
	}},
	{"closing early ends the call", func(s *session) {
		path := s.dir() + "/file"
		s.write(path, string(noise(4<<20)), sandbox.WriteOptions{})
		f, err := s.ReadFile(s.ctx, path, sandbox.Range{})
		s.must(err)
		if _, err := io.ReadFull(f, make([]byte, 10)); err != nil {
			s.Fatal(err)
		}
		s.must(f.Close())
		if _, err := f.Read(make([]byte, 10)); err == nil {
			s.Error("read after close: no error")
		}
	}},
	{"writing replaces", func(s *session) {
		path := s.dir() + "/file"
		s.write(path, "a long first content", sandbox.WriteOptions{})
		s.write(path, "short", sandbox.WriteOptions{})
		equalText(s, "content", s.read(path), "short")
	}},
	{"content that fails leaves the old file, and nothing beside it", func(s *session) {
		dir := s.dir()
		s.write(dir+"/file", "old", sandbox.WriteOptions{})
		for _, path := range []string{dir + "/file", dir + "/new"} {
			content := io.MultiReader(bytes.NewReader(noise(1<<20)), failingReader{})
			if _, err := s.WriteFile(s.ctx, path, sandbox.WriteOptions{}, content); err == nil {
				s.Errorf("write %s: no error", path)
			}
		}
		equalText(s, "content", s.read(dir+"/file"), "old")
		s.eventually("nothing but the old file is left", func() bool { return slices.Equal(s.names(dir), []string{"file"}) })
	}},
	{"a cancelled write leaves the old file", func(s *session) {
		dir := s.dir()
		s.write(dir+"/file", "old", sandbox.WriteOptions{})
		ctx, cancel := context.WithCancel(s.ctx)
		content := io.MultiReader(bytes.NewReader(noise(1<<20)), readerFunc(func([]byte) (int, error) { cancel(); return 0, ctx.Err() }))
		if _, err := s.WriteFile(ctx, dir+"/file", sandbox.WriteOptions{}, content); err == nil {
			s.Error("no error")
		}
		equalText(s, "content", s.read(dir+"/file"), "old")
		s.eventually("nothing but the old file is left", func() bool { return slices.Equal(s.names(dir), []string{"file"}) })
	}},
	{"a reader never sees a mix", neverAMix},
	{"modes", func(s *session) {
		dir := s.dir()
		mode := func(path string) fs.FileMode {
			f, err := s.Stat(s.ctx, path, false)
			s.must(err)
			return f.Mode
		}
		s.write(dir+"/default", "", sandbox.WriteOptions{})
		equal(s, "default", mode(dir+"/default"), 0o644)
		s.write(dir+"/private", "", sandbox.WriteOptions{Mode: 0o600})
		equal(s, "given", mode(dir+"/private"), 0o600)
		s.write(dir+"/private", "again", sandbox.WriteOptions{})
		equal(s, "of the file that is replaced", mode(dir+"/private"), 0o600)
		s.write(dir+"/private", "again", sandbox.WriteOptions{Mode: 0o755})
		equal(s, "given, of the file that is replaced", mode(dir+"/private"), 0o755)
		s.sh("chmod 640 %s/private", dir)
		equal(s, "set inside", mode(dir+"/private"), 0o640)
	}},
	{"parents of a file", func(s *session) {
		path := s.dir() + "/a/b/c"
		_, err := s.WriteFile(s.ctx, path, sandbox.WriteOptions{}, strings.NewReader("x"))
		s.wantError(err, errdef.ErrNotFound)
		s.write(path, "x", sandbox.WriteOptions{Parents: true})
		equalText(s, "content", s.read(path), "x")
	}},
	{"what is not a regular file is neither read nor replaced", func(s *session) {
		dir := s.dir()
		s.sh("mkfifo %s/fifo; mkdir %s/dir", dir, dir)
		for _, path := range []string{dir, dir + "/fifo", "/dev/zero"} {
			_, err := s.ReadFile(s.ctx, path, sandbox.Range{})
			s.wantError(err, errdef.ErrInvalid)
		}
		if _, err := s.WriteFile(s.ctx, dir+"/dir", sandbox.WriteOptions{}, strings.NewReader("x")); err == nil {
			s.Error("wrote over a directory")
		}
	}},
	{"a file as a directory", func(s *session) {
		dir := s.dir()
		s.write(dir+"/file", "", sandbox.WriteOptions{})
		_, err := s.ReadFile(s.ctx, dir+"/file/below", sandbox.Range{})
		s.wantError(err, errdef.ErrNotFound, errdef.ErrInvalid)
		_, err = s.ListDir(s.ctx, dir+"/file")
		s.wantError(err, errdef.ErrInvalid, errdef.ErrNotFound)
		_, err = s.WriteFile(s.ctx, dir+"/file/below", sandbox.WriteOptions{Parents: true}, strings.NewReader("x"))
		s.wantError(err, errdef.ErrInvalid, errdef.ErrNotFound, errdef.ErrExists)
	}},
	{"missing paths", func(s *session) {
		missing := s.dir() + "/missing"
		_, err := s.ReadFile(s.ctx, missing, sandbox.Range{})
		s.wantError(err, errdef.ErrNotFound)
		_, err = s.Stat(s.ctx, missing, true)
		s.wantError(err, errdef.ErrNotFound)
		_, err = s.ListDir(s.ctx, missing)
		s.wantError(err, errdef.ErrNotFound)
		s.wantError(s.Remove(s.ctx, missing, false), errdef.ErrNotFound)
		s.wantError(s.Rename(s.ctx, missing, missing+"2"), errdef.ErrNotFound)
		s.wantError(s.MakeDir(s.ctx, missing+"/below", sandbox.MakeDirOptions{}), errdef.ErrNotFound)
	}},
	{"malformed paths", malformedPaths},
}

var linkCases = []sandboxCase{
	{"stat describes", func(s *session) {
		dir := s.dir()
		s.write(dir+"/file", "12345", sandbox.WriteOptions{Mode: 0o640})
		f, err := s.Stat(s.ctx, dir+"/file", false)
		s.must(err)
		equal(s, "name", f.Name, "file")
		equal(s, "size", f.Size, 5)
		equal(s, "mode", f.Mode, 0o640)
		equal(s, "link", f.LinkTarget, "")
		if f.ModTime.Before(time.Unix(1_000_000_000, 0)) {
			s.Errorf("modified at %v", f.ModTime)
		}
		d, err := s.Stat(s.ctx, dir, false)
		s.must(err)
		equal(s, "mode of the directory", d.Mode, fs.ModeDir|0o755)
	}},
	{"stat of the root and of a device", func(s *session) {
		root, err := s.Stat(s.ctx, "/", false)
		s.must(err)
		equal(s, "type", root.Mode.Type(), fs.ModeDir)
		null, err := s.Stat(s.ctx, "/dev/null", false)
		s.must(err)
		equal(s, "type", null.Mode.Type(), fs.ModeDevice|fs.ModeCharDevice)
	}},
	{"symbolic links", func(s *session) {
		dir := s.dir()
		s.write(dir+"/file", "content", sandbox.WriteOptions{})
		s.sh("cd %s; ln -s file link; ln -s missing dangling; ln -s loop loop", dir)
		link, err := s.Stat(s.ctx, dir+"/link", false)
		s.must(err)
		equal(s, "type", link.Mode.Type(), fs.ModeSymlink)
		equal(s, "target", link.LinkTarget, "file")
		file, err := s.Stat(s.ctx, dir+"/link", true)
		s.must(err)
		equal(s, "type of the target", file.Mode.Type(), 0)
		equal(s, "size of the target", file.Size, 7)
		equalText(s, "content", s.read(dir+"/link"), "content")
		_, err = s.Stat(s.ctx, dir+"/dangling", true)
		s.wantError(err, errdef.ErrNotFound)
		if _, err = s.Stat(s.ctx, dir+"/loop", true); err == nil {
			s.Error("followed a loop")
		}
		for path, want := range map[string]bool{"/dangling": true, "/link": true, "/missing": false} {
			got, err := sandbox.Exists(s.ctx, s, dir+path)
			s.must(err)
			equal(s, "exists "+path, got, want)
		}
	}},
	{"links in the middle of a path", func(s *session) {
		dir := s.dir()
		s.write(dir+"/real/file", "x", sandbox.WriteOptions{Parents: true})
		s.sh("ln -s real %s/alias", dir)
		equalText(s, "content", s.read(dir+"/alias/file"), "x")
		equalList(s, "names", s.names(dir+"/alias"), "file")
		equalText(s, "content by way of the parent", s.read(dir+"/alias/../real/file"), "x")
	}},
	{"removing a link leaves its target", func(s *session) {
		dir := s.dir()
		s.write(dir+"/real/file", "x", sandbox.WriteOptions{Parents: true})
		s.sh("ln -s %s/real %s/alias", dir, dir)
		s.must(s.Remove(s.ctx, dir+"/alias", true))
		equalText(s, "content", s.read(dir+"/real/file"), "x")
		s.sh("mkdir %s/tree; ln -s %s/real %s/tree/alias", dir, dir, dir)
		s.must(s.Remove(s.ctx, dir+"/tree", true))
		equalText(s, "content", s.read(dir+"/real/file"), "x")
	}},
}

var treeCases = []sandboxCase{
	{"directories are listed in name order, with types", func(s *session) {
		dir := s.dir()
		s.sh("cd %s; mkdir b; printf 123 > a; ln -s a c; touch B .hidden 'with space' ü; mkfifo d", dir)
		equalList(s, "names", s.names(dir), ".hidden", "B", "a", "b", "c", "d", "with space", "ü")
		entries, err := s.ListDir(s.ctx, dir)
		s.must(err)
		types := map[string]fs.FileMode{"b": fs.ModeDir, "c": fs.ModeSymlink, "d": fs.ModeNamedPipe}
		for _, e := range entries {
			equal(s, "type of "+e.Name, e.Mode.Type(), types[e.Name])
		}
		if len(entries) > 4 {
			equal(s, "size", entries[2].Size, 3)
			equal(s, "target", entries[4].LinkTarget, "a")
		}
	}},
	{"an empty directory", func(s *session) { equalList(s, "names", s.names(s.dir())) }},
	{"a large directory", func(s *session) {
		dir := s.dir()
		s.sh("cd %s; i=1000; while test $i -lt 2500; do : > f$i; i=$((i+1)); done", dir)
		got := s.names(dir)
		if len(got) != 1500 || !slices.IsSorted(got) || got[0] != "f1000" || got[1499] != "f2499" {
			s.Errorf("%d names, sorted: %v", len(got), slices.IsSorted(got))
		}
	}},
	{"making directories", func(s *session) {
		dir := s.dir()
		s.must(s.MakeDir(s.ctx, dir+"/a", sandbox.MakeDirOptions{Mode: 0o700}))
		a, err := s.Stat(s.ctx, dir+"/a", false)
		s.must(err)
		equal(s, "mode", a.Mode, fs.ModeDir|0o700)
		s.wantError(s.MakeDir(s.ctx, dir+"/a", sandbox.MakeDirOptions{}), errdef.ErrExists)
		s.must(s.MakeDir(s.ctx, dir+"/a", sandbox.MakeDirOptions{Parents: true}))
		s.must(s.MakeDir(s.ctx, dir+"/b/c/d", sandbox.MakeDirOptions{Parents: true}))
		equalList(s, "names", s.names(dir+"/b/c"), "d")
		s.write(dir+"/file", "", sandbox.WriteOptions{})
		s.wantError(s.MakeDir(s.ctx, dir+"/file", sandbox.MakeDirOptions{Parents: true}), errdef.ErrExists, errdef.ErrInvalid)
	}},
	{"removing", func(s *session) {
		dir := s.dir()
		s.write(dir+"/tree/a/file", "", sandbox.WriteOptions{Parents: true})
		if s.Remove(s.ctx, dir+"/tree", false) == nil {
			s.Error("removed a directory that is not empty")
		}
		equalList(s, "names", s.names(dir+"/tree/a"), "file")
		s.must(s.Remove(s.ctx, dir+"/tree/a/file", false))
		s.must(s.Remove(s.ctx, dir+"/tree/a", false))
		s.write(dir+"/tree/b/c/d/file", "", sandbox.WriteOptions{Parents: true})
		s.must(s.Remove(s.ctx, dir+"/tree", true))
		s.must(s.Remove(s.ctx, dir+"/tree", true))
		equalList(s, "names", s.names(dir))
	}},
	{"renaming", func(s *session) {
		dir := s.dir()
		s.write(dir+"/a", "a", sandbox.WriteOptions{})
		s.write(dir+"/b", "b", sandbox.WriteOptions{})
		s.must(s.Rename(s.ctx, dir+"/a", dir+"/b"))
		equalText(s, "content", s.read(dir+"/b"), "a")
		s.write(dir+"/tree/file", "x", sandbox.WriteOptions{Parents: true})
		s.must(s.Rename(s.ctx, dir+"/tree", dir+"/moved"))
		equalText(s, "content", s.read(dir+"/moved/file"), "x")
		equalList(s, "names", s.names(dir), "b", "moved")
		if s.Rename(s.ctx, dir+"/moved", dir+"/moved/inside") == nil {
			s.Error("moved a directory into itself")
		}
	}},
}

// neverAMix replaces a file by contents of one letter each while others read it.
func neverAMix(s *session) {
	path := s.dir() + "/file"
	const size = 400_000
	content := func(i int) string { return strings.Repeat(string(rune('a'+i%2)), size) }
	s.write(path, content(0), sandbox.WriteOptions{})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				b, err := sandbox.ReadBytes(s.ctx, s, path, 2*size)
				if err != nil {
					s.Errorf("read: %v", err)
					return
				}
				if len(b) != size || bytes.Count(b, b[:1]) != size {
					s.Errorf("read a mix: %d bytes, %d of the first letter", len(b), bytes.Count(b, b[:1]))
					return
				}
			}
		})
	}
	for i := range 20 {
		if _, err := s.WriteFile(s.ctx, path, sandbox.WriteOptions{}, strings.NewReader(content(i))); err != nil {
			s.Errorf("write: %v", err)
			break
		}
	}
	close(stop)
	wg.Wait()
}

// malformedPaths gives every call paths that are none.
func malformedPaths(s *session) {
	for _, path := range []string{"", "relative", "./relative", "/nul\x00byte", "/not-utf8-\xff", "/" + strings.Repeat("long/", 1000)} {
		calls := map[string]func() error{
			"ReadFile":   func() error { _, err := s.ReadFile(s.ctx, path, sandbox.Range{}); return err },
			"Stat":       func() error { _, err := s.Stat(s.ctx, path, false); return err },
			"ListDir":    func() error { _, err := s.ListDir(s.ctx, path); return err },
			"MakeDir":    func() error { return s.MakeDir(s.ctx, path, sandbox.MakeDirOptions{Parents: true}) },
			"Remove":     func() error { return s.Remove(s.ctx, path, true) },
			"RenameFrom": func() error { return s.Rename(s.ctx, path, "/tmp/x") },
			"RenameTo":   func() error { return s.Rename(s.ctx, "/tmp/x", path) },
			"WriteFile": func() error {
				_, err := s.WriteFile(s.ctx, path, sandbox.WriteOptions{}, strings.NewReader("x"))
				return err
			},
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, errdef.ErrInvalid) {
				s.Errorf("%s(%.20q): error is %v, want errdef.ErrInvalid", name, path, err)
			}
		}
	}
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
