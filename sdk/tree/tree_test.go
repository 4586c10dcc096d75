package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// plant makes a tree with everything that is carried.
func plant(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "tree")
	must(t, os.MkdirAll(filepath.Join(dir, "a", "b", "c"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "empty"), 0o755))
	files := map[string]fs.FileMode{"a/plain": 0o644, "a/b/run": 0o755, "a/b/c/secret": 0o600, "a/b/sealed": 0o400, "z": 0o664, "name \xff\n odd": 0o644, "größe": 0o644}
	for name, mode := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("content of "+name), 0o600))
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	must(t, os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat([]byte("0123456789abcdef"), 70_001), 0o644))
	must(t, os.Symlink("../z", filepath.Join(dir, "a", "link")))
	must(t, os.Symlink("/nowhere/at all", filepath.Join(dir, "a", "dangling")))
	must(t, os.Link(filepath.Join(dir, "a", "b", "run"), filepath.Join(dir, "z-hard")))
	must(t, os.Link(filepath.Join(dir, "a", "b", "run"), filepath.Join(dir, "a", "b", "run-too")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, os.Chmod(filepath.Join(dir, "a", "b"), 0o555|fs.ModeSticky))
	old := time.Unix(1_234_567_890, 0)
	for _, name := range []string{"a/plain", "a/b", "a"} {
		must(t, os.Chtimes(filepath.Join(dir, name), old, old))
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "a", "b"), 0o755) })
	return dir
}

// describe lists a tree: modes, times where they were set, content, links.
func describe(t testing.TB, dir string) []string {
	var list []string
	inodes := map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		name, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		must(t, err)
		line := fmt.Sprintf("%q %v", name, info.Mode())
		switch st := info.Sys().(*syscall.Stat_t); {
		case info.Mode().Type() == fs.ModeNamedPipe:
			return nil
		case info.Mode().Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			must(t, err)
			line += " -> " + target
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			must(t, err)
			line += fmt.Sprintf(" %d bytes %.20q", len(content), content)
			if first, again := inodes[st.Ino]; again {
				line += " is " + first
			}
			inodes[st.Ino] = name
		}
		if info.Mode().Type() != fs.ModeSymlink && info.ModTime().Year() < 2020 {
			line += " " + info.ModTime().UTC().String()
		}
		list = append(list, line)
		return nil
	}))
	return list
}

func pack(t testing.TB, path string) []byte {
	t.Helper()
	var archive bytes.Buffer
	_, err := Pack(context.Background(), path, &archive)
	must(t, err)
	return archive.Bytes()
}

func TestATreeArrivesAsItWas(t *testing.T) {
	dir := plant(t)
	var archive bytes.Buffer
	packed, err := Pack(t.Context(), dir, &archive)
	must(t, err)
	to := filepath.Join(t.TempDir(), "copy")
	unpacked, err := Unpack(t.Context(), to, Options{}, &archive)
	must(t, err)
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(to, "a", "b"), 0o755) })
	want, got := describe(t, dir), describe(t, to)
	if !slices.Equal(want, got) {
		t.Errorf("packed\n%s\nunpacked\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	if packed.Skipped != 1 || packed.Files != unpacked.Files || int(packed.Files) != len(want) || packed.Bytes != unpacked.Bytes {
		t.Errorf("packed %+v, unpacked %+v, %d there", packed, unpacked, len(want))
	}
}

func TestAFileArrives(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "from"), []byte("new"), 0o640))
	must(t, os.WriteFile(filepath.Join(dir, "to"), []byte("old"), 0o600))
	must(t, os.Symlink("from", filepath.Join(dir, "link")))
	for _, from := range []string{"from", "link"} {
		_, err := Unpack(t.Context(), filepath.Join(dir, "to"), Options{}, bytes.NewReader(pack(t, filepath.Join(dir, from))))
		must(t, err)
	}
	info, err := os.Lstat(filepath.Join(dir, "to"))
	must(t, err)
	if content, _ := os.ReadFile(filepath.Join(dir, "to")); string(content) != "new" || info.Mode() != 0o640 {
		t.Errorf("%q, %v", content, info.Mode())
	}
}

func TestATreeIsAddedTo(t *testing.T) {
	dir, to := plant(t), filepath.Join(t.TempDir(), "there")
	must(t, os.MkdirAll(filepath.Join(to, "a"), 0o711))
	must(t, os.WriteFile(filepath.Join(to, "a", "mine"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(to, "z"), []byte("older"), 0o644))
	_, err := Unpack(t.Context(), to, Options{}, bytes.NewReader(pack(t, dir)))
	must(t, err)
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(to, "a", "b"), 0o755) })
	if _, err := os.Stat(filepath.Join(to, "a", "mine")); err != nil {
		t.Error(err)
	}
	if content, _ := os.ReadFile(filepath.Join(to, "z")); string(content) != "content of z" {
		t.Errorf("z is %q", content)
	}
	if info, _ := os.Stat(filepath.Join(to, "a")); info.Mode().Perm() != 0o711 {
		t.Errorf("the directory that was there has mode %v", info.Mode())
	}
}

// TestNothingIsLostToTheOtherKind: a file never takes the place of a directory, nor the other way round.
func TestNothingIsLostToTheOtherKind(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "d"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "d", "kept"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("kept"), 0o644))
	if _, err := Unpack(t.Context(), filepath.Join(dir, "d"), Options{}, bytes.NewReader(pack(t, filepath.Join(dir, "f")))); err == nil {
		t.Error("a file took the place of a directory")
	}
	if _, err := Unpack(t.Context(), filepath.Join(dir, "f"), Options{}, bytes.NewReader(pack(t, filepath.Join(dir, "d")))); err == nil {
		t.Error("a directory took the place of a file")
	}
	leftovers(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "d", "kept")); err != nil {
		t.Error(err)
	}
}

// leftovers demands that no temporary file is left.
func leftovers(t testing.TB, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasPrefix(d.Name(), Temporary) {
			t.Errorf("%s is left", path)
		}
		return err
	}))
}

// TestAnArchiveThatBreaksOffLeavesWholeFilesOnly, wherever it does.
func TestAnArchiveThatBreaksOffLeavesWholeFilesOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
	for i := range 5 {
		must(t, os.WriteFile(filepath.Join(dir, "sub", fmt.Sprint(i)), bytes.Repeat([]byte{byte('0' + i)}, 700), 0o644))
	}
	archive := pack(t, dir)
	for cut := 0; cut < len(archive)-1024; cut += 97 {
		to := filepath.Join(t.TempDir(), "copy")
		if _, err := Unpack(t.Context(), to, Options{}, bytes.NewReader(archive[:cut])); err == nil {
			t.Errorf("cut at %d: no error", cut)
		}
		leftovers(t, filepath.Dir(to))
		for i := range 5 {
			content, err := os.ReadFile(filepath.Join(to, "sub", fmt.Sprint(i)))
			if err == nil && len(content) != 700 {
				t.Errorf("cut at %d: half a file of %d bytes", cut, len(content))
			}
		}
	}
}

type entry struct {
	kind       byte
	name, link string
}

func forge(t testing.TB, entries ...entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Linkname: e.link, Mode: 0o4777}
		if e.kind == tar.TypeReg {
			h.Size = 4
		}
		must(t, w.WriteHeader(h))
		if h.Size > 0 {
			_, err := w.Write([]byte("evil"))
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}

// hostile are archives that want out of their place, or to confuse.
var hostile = map[string][]entry{
	"dot dot":                {{tar.TypeDir, "./", ""}, {tar.TypeReg, "../escaped", ""}},
	"dot dot in the middle":  {{tar.TypeDir, "./", ""}, {tar.TypeDir, "a/", ""}, {tar.TypeReg, "a/../../escaped", ""}},
	"absolute":               {{tar.TypeDir, "./", ""}, {tar.TypeReg, "/escaped", ""}},
	"top by another name":    {{tar.TypeReg, "../escaped", ""}},
	"through a symlink":      {{tar.TypeDir, "./", ""}, {tar.TypeSymlink, "out", ".."}, {tar.TypeReg, "out/escaped", ""}},
	"through a link to /tmp": {{tar.TypeDir, "./", ""}, {tar.TypeSymlink, "out", "/tmp"}, {tar.TypeReg, "out/escaped", ""}},
	"directory on a symlink": {{tar.TypeDir, "./", ""}, {tar.TypeSymlink, "out", ".."}, {tar.TypeDir, "out/", ""}, {tar.TypeReg, "out/escaped", ""}},
	"top is a symlink":       {{tar.TypeSymlink, ".", ".."}, {tar.TypeReg, "escaped", ""}},
	"hard link out":          {{tar.TypeDir, "./", ""}, {tar.TypeLink, "in", "../outside"}},
	"hard link through a symlink": {{tar.TypeDir, "./", ""}, {tar.TypeSymlink, "out", ".."}, {tar.TypeLink, "in", "out/outside"},
		{tar.TypeReg, "in", ""}},
	"hard link to the top": {{tar.TypeDir, "./", ""}, {tar.TypeLink, "in", "."}},
	"hard link first":      {{tar.TypeLink, ".", "x"}},
	"below a file":         {{tar.TypeReg, ".", ""}, {tar.TypeReg, "x", ""}},
	"two tops":             {{tar.TypeDir, "./", ""}, {tar.TypeDir, "./", ""}},
	"our own name":         {{tar.TypeDir, "./", ""}, {tar.TypeReg, Temporary + "x", ""}},
	"too deep":             {{tar.TypeDir, "./", ""}, {tar.TypeReg, strings.Repeat("d/", 300) + "x", ""}},
	"no directory":         {{tar.TypeDir, "./", ""}, {tar.TypeReg, "missing/x", ""}},
	"nothing":              {},
}

func TestHostileArchives(t *testing.T) {
	for name, entries := range hostile {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			must(t, os.WriteFile(filepath.Join(outer, "outside"), []byte("untouched"), 0o600))
			to := filepath.Join(outer, "in", "copy")
			must(t, os.Mkdir(filepath.Dir(to), 0o755))
			_, err := Unpack(t.Context(), to, Options{}, bytes.NewReader(forge(t, entries...)))
			if err == nil {
				t.Error("it was taken")
			}
			unharmed(t, outer)
		})
	}
}

func unharmed(t testing.TB, outer string) {
	t.Helper()
	if content, _ := os.ReadFile(filepath.Join(outer, "outside")); string(content) != "untouched" {
		t.Errorf("the file outside is %q now", content)
	}
	for _, escaped := range []string{filepath.Join(outer, "escaped"), filepath.Join(outer, "in", "escaped"), "/tmp/escaped", "/escaped"} {
		if _, err := os.Lstat(escaped); err == nil {
			os.Remove(escaped)
			t.Errorf("%s was made", escaped)
		}
	}
	leftovers(t, outer)
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), make([]byte, 100), 0o600))
	}
	archive := pack(t, dir)
	for _, c := range []struct {
		opt  Options
		fits bool
	}{
		{Options{MaxFiles: 11, MaxBytes: 1000}, true}, {Options{MaxFiles: 10}, false}, {Options{MaxBytes: 999}, false}, {Options{}, true},
	} {
		_, err := Unpack(t.Context(), filepath.Join(t.TempDir(), "x"), c.opt, bytes.NewReader(archive))
		if c.fits != (err == nil) || !c.fits && !errors.Is(err, errdef.ErrExhausted) {
			t.Errorf("%+v: %v", c.opt, err)
		}
	}
}

func TestAccessibleFilesCanBeRemoved(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "shut", "in"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "shut", "f"), nil, 0o600))
	must(t, os.Chmod(filepath.Join(dir, "shut", "f"), 0))
	must(t, os.Chmod(filepath.Join(dir, "shut"), 0o500))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "shut"), 0o700) })
	to := filepath.Join(t.TempDir(), "x")
	_, err := Unpack(t.Context(), to, Options{Accessible: true}, bytes.NewReader(pack(t, dir)))
	must(t, err)
	for name, want := range map[string]fs.FileMode{"shut": 0o700, "shut/f": 0o600, "shut/in": 0o700} {
		info, err := os.Stat(filepath.Join(to, name))
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestSetuidIsForThePrivilegedOnly(t *testing.T) {
	archive := forge(t, entry{tar.TypeReg, ".", ""})
	for _, privileged := range []bool{false, true} {
		to := filepath.Join(t.TempDir(), "f")
		_, err := Unpack(t.Context(), to, Options{Privileged: privileged}, bytes.NewReader(archive))
		must(t, err)
		info, err := os.Stat(to)
		must(t, err)
		if got := info.Mode()&fs.ModeSetuid != 0; got != privileged {
			t.Errorf("privileged %v: mode %v", privileged, info.Mode())
		}
	}
}

// TestDevicesAreLeftOut and counted.
func TestDevicesAreLeftOut(t *testing.T) {
	to := filepath.Join(t.TempDir(), "d")
	stats, err := Unpack(t.Context(), to, Options{}, bytes.NewReader(forge(t, entry{tar.TypeDir, "./", ""}, entry{tar.TypeChar, "null", ""},
		entry{tar.TypeBlock, "disk", ""}, entry{tar.TypeFifo, "fifo", ""})))
	must(t, err)
	if stats.Skipped != 3 || stats.Files != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestPackSaysWhatItCannot(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	if _, err := Pack(t.Context(), filepath.Join(dir, "fifo"), io.Discard); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("a FIFO: %v", err)
	}
	if _, err := Pack(t.Context(), filepath.Join(dir, "nowhere"), io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Pack(ctx, dir, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestAFileThatShrinks must not be filled up with what it never held.
func TestAFileThatShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, make([]byte, 2<<20), 0o600))
	shrink := writerFunc(func(p []byte) (int, error) { return len(p), os.Truncate(path, 10) })
	if _, err := Pack(t.Context(), path, shrink); !errors.Is(err, errdef.ErrAborted) {
		t.Errorf("%v", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func FuzzUnpack(f *testing.F) {
	for _, entries := range hostile {
		f.Add(forge(f, entries...))
	}
	dir := plant(f)
	must(f, os.Remove(filepath.Join(dir, "big")))
	f.Add(pack(f, dir))
	f.Fuzz(func(t *testing.T, archive []byte) {
		if len(archive) > 64<<10 {
			return
		}
		outer := t.TempDir()
		must(t, os.WriteFile(filepath.Join(outer, "outside"), []byte("untouched"), 0o600))
		must(t, os.Mkdir(filepath.Join(outer, "in"), 0o755))
		_, _ = Unpack(t.Context(), filepath.Join(outer, "in", "copy"), Options{}, bytes.NewReader(archive))
		unharmed(t, outer)
		// A mode of the archive's must not keep the test from cleaning up.
		_ = filepath.WalkDir(outer, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(path, 0o755)
			}
			return nil
		})
	})
}
