package plugintest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// archiveCases hold what becomes of whole trees; a sandbox that has no CapTrees must say so.
var archiveCases = []sandboxCase{
	{"a tree goes out and comes in as it is", func(s *session) {
		dir := s.trees()
		s.sh(`cd %s && mkdir -p t/a/b t/empty && echo one > t/a/one && echo two > t/a/b/two && chmod 751 t/a/b/two && chmod 500 t/a/b &&
			ln -s ../a/one t/a/link && ln -s /nowhere t/dangling && ln t/a/one t/second`, dir)
		var archive bytes.Buffer
		out, err := s.ReadTree(s.ctx, dir+"/t", &archive)
		s.must(err)
		in, err := s.WriteTree(s.ctx, dir+"/copy", sandbox.TreeOptions{}, &archive)
		s.must(err)
		equal(s, "stats", in, out)
		equal(s, "files", out.Files, uint64(9))
		const list = `cd %s/%s && find . | sort && cat a/one a/b/two second && readlink a/link && readlink dangling && stat -c '%%a %%U' a/b/two a/b . && echo more >> second && cat a/one`
		equalText(s, "the copy", s.sh(list, dir, "copy"), s.sh(list, dir, "t"))
		s.sh("chmod 700 %s/t/a/b %s/copy/a/b", dir, dir)
	}},
	{"a file is a tree of one", func(s *session) {
		dir := s.trees()
		content := string(noise(3*sandbox.ChunkBytes + 7))
		s.write(dir+"/f", content, sandbox.WriteOptions{Mode: 0o640})
		s.write(dir+"/g", "older", sandbox.WriteOptions{})
		owner := ""
		if s.has(sandbox.CapUsers) {
			owner = "0"
		}
		var archive bytes.Buffer
		_, err := s.ReadTree(s.ctx, dir+"/f", &archive)
		s.must(err)
		_, err = s.WriteTree(s.ctx, dir+"/g", sandbox.TreeOptions{User: owner}, &archive)
		s.must(err)
		equalText(s, "content", s.read(dir+"/g"), content)
		info, err := s.Stat(s.ctx, dir+"/g", false)
		s.must(err)
		equal(s, "mode", info.Mode, 0o640)
		if owner != "" {
			equal(s, "owner", info.UID, 0)
		}
		equalList(s, "names", s.names(dir), "f", "g")
	}},
	{"a tree is added to what is there", func(s *session) {
		dir := s.trees()
		s.sh("cd %s && mkdir -p t there && echo new > t/x && echo old > there/x && echo kept > there/y", dir)
		var archive bytes.Buffer
		_, err := s.ReadTree(s.ctx, dir+"/t", &archive)
		s.must(err)
		_, err = s.WriteTree(s.ctx, dir+"/there", sandbox.TreeOptions{}, &archive)
		s.must(err)
		equalText(s, "content", s.sh("cd %s/there && cat x y", dir), "new\nkept\n")
	}},
	{"trees that cannot be", func(s *session) {
		dir := s.trees()
		_, err := s.ReadTree(s.ctx, dir+"/missing", io.Discard)
		s.wantError(err, errdef.ErrNotFound)
		_, err = s.ReadTree(s.ctx, "relative", io.Discard)
		s.wantError(err, errdef.ErrInvalid)
		_, err = s.WriteTree(s.ctx, dir+"/a", sandbox.TreeOptions{}, strings.NewReader(""))
		s.wantError(err, errdef.ErrDataLoss)
		_, err = s.WriteTree(s.ctx, dir+"/a", sandbox.TreeOptions{}, bytes.NewReader(noise(4096)))
		s.wantError(err, errdef.ErrDataLoss)
		_, err = s.WriteTree(s.ctx, dir+"/missing/a", sandbox.TreeOptions{}, bytes.NewReader(archiveOf("./", "x")))
		s.wantError(err, errdef.ErrNotFound)
		_, err = s.WriteTree(s.ctx, dir+"/a", sandbox.TreeOptions{}, bytes.NewReader(archiveOf("./", "../escaped")))
		s.wantError(err, errdef.ErrDataLoss)
		if names := s.names(dir); len(names) > 1 || len(names) == 1 && names[0] != "a" {
			s.Errorf("left: %q", names)
		}
	}},
	{"an archive that breaks off leaves whole files only", func(s *session) {
		dir := s.trees()
		archive := archiveOf("./", "whole", "half")
		// It breaks once the first file is there: what is on its way when a call ends may be lost.
		in, out := io.Pipe()
		defer out.Close()
		ended := make(chan error, 1)
		go func() {
			_, err := s.WriteTree(s.ctx, dir+"/a", sandbox.TreeOptions{}, in)
			in.Close()
			ended <- err
		}()
		_, _ = out.Write(archive[:len(archive)-1024-100])
		s.eventually("the first file is there", func() bool { return s.sh("test ! -e %s/a/whole || echo yes", dir) == "yes\n" })
		out.CloseWithError(errors.New("the reader broke"))
		if err := <-ended; err == nil {
			s.Errorf("no error")
		}
		s.eventually("only whole files are there", func() bool { return s.sh("ls -A %s/a", dir) == "whole\n" })
	}},
}

// trees returns a fresh directory, and ends the case where there are no trees.
func (s *session) trees() string {
	if !s.has(sandbox.CapTrees) {
		_, err := s.ReadTree(s.ctx, "/", io.Discard)
		s.wantError(err, errdef.ErrUnsupported)
		s.SkipNow()
	}
	return s.dir()
}

// archiveOf makes an archive of small files, and of directories where a name ends with a slash.
func archiveOf(names ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		h := &tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeDir}
		if !strings.HasSuffix(name, "/") {
			h.Typeflag, h.Size = tar.TypeReg, 3*sandbox.ChunkBytes
		}
		_ = w.WriteHeader(h) // into memory, and sound
		_, _ = w.Write(make([]byte, h.Size))
	}
	_ = w.Close()
	return b.Bytes()
}
