package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/image/erofs"
	"github.com/voidbox-run/voidbox/core/image/layer"
	"github.com/voidbox-run/voidbox/internal/testimage"
)

// memory is an image that is never read as one.
type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if end := int(at) + len(p); end > len(m.b) {
		m.b = append(m.b, make([]byte, end-len(m.b))...)
	}
	return copy(m.b[at:], p), nil
}

func (m *memory) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(m.b).ReadAt(p, at) }

func (m *memory) Truncate(n int64) error {
	m.b = append(m.b, make([]byte, max(0, int(n)-len(m.b)))...)[:n]
	return nil
}

// merge applies archives in order.
func merge(t testing.TB, b *layer.Budget, archives ...[]byte) (*layer.Tree, *memory, []*layer.Layer, error) {
	t.Helper()
	out := &memory{}
	w := erofs.NewWriter(out)
	tree := layer.NewTree(b)
	var layers []*layer.Layer
	for _, archive := range archives {
		a := w.NewAppender()
		l, err := layer.Read(t.Context(), bytes.NewReader(archive), a, b)
		if err == nil {
			err = a.Flush()
		}
		if err == nil {
			err = tree.Apply(t.Context(), l)
		}
		if err != nil {
			return nil, nil, nil, err
		}
		layers = append(layers, l)
	}
	_, err := w.Finish(tree.Root(), [16]byte{})
	return tree, out, layers, err
}

// show lists a tree, one line a file.
func show(n *erofs.Node, name string, out *memory) []string {
	line := fmt.Sprintf("%s %o", name, n.Mode)
	switch n.Type() {
	case erofs.Regular:
		content, _ := io.ReadAll(n.Content.Reader(out))
		line += " " + string(content)
	case erofs.Symlink:
		line += " -> " + n.Target
	}
	lines := []string{line}
	names := make([]string, 0, len(n.Children))
	for child := range n.Children {
		names = append(names, child)
	}
	slices.Sort(names)
	for _, child := range names {
		lines = append(lines, show(n.Children[child], name+"/"+child, out)...)
	}
	return lines
}

func TestLayersAreMerged(t *testing.T) {
	file, dir, symlink, link := testimage.File, testimage.Dir, testimage.Symlink, testimage.Link
	mode := func(e testimage.Entry, mode int64) testimage.Entry { e.Mode = mode; return e }
	for name, c := range map[string]struct {
		layers [][]testimage.Entry
		want   []string // below the root
	}{
		"a later file wins": {
			[][]testimage.Entry{{file("a", "one"), file("b", "one")}, {file("./a", "two")}},
			[]string{"/a 100644 two", "/b 100644 one"},
		},
		"a directory keeps what is in it and takes the new mode": {
			[][]testimage.Entry{{dir("d"), file("d/a", "one")}, {mode(dir("d/"), 0o1777), file("d/b", "two")}},
			[]string{"/d 41777", "/d/a 100644 one", "/d/b 100644 two"},
		},
		"a file replaces a directory, and a directory a file": {
			[][]testimage.Entry{{dir("d"), file("d/a", "one"), file("f", "one")}, {file("d", "two"), dir("f"), file("f/x", "two")}},
			[]string{"/d 100644 two", "/f 40755", "/f/x 100644 two"},
		},
		"a whiteout hides": {
			[][]testimage.Entry{{file("a", "one"), dir("d"), file("d/b", "one"), file("d/c", "one")}, {file("d/.wh.b", ""), file(".wh.a", "")}},
			[]string{"/d 40755", "/d/c 100644 one"},
		},
		"a whiteout hides lower layers only, wherever it stands": {
			[][]testimage.Entry{{file("a", "one"), dir("d"), file("d/b", "one")}, {file("a", "two"), file(".wh.a", ""), file("d/n", "two"), file("d/.wh..wh..opq", "")}},
			[]string{"/a 100644 two", "/d 40755", "/d/n 100644 two"},
		},
		"an opaque directory hides all": {
			[][]testimage.Entry{{dir("d"), file("d/a", "one"), dir("d/e"), file("d/e/f", "one")}, {file("d/.wh..wh..opq", "")}, {file("d/z", "three")}},
			[]string{"/d 40755", "/d/z 100644 three"},
		},
		"an opaque root": {
			[][]testimage.Entry{{file("a", "one")}, {file(".wh..wh..opq", ""), file("b", "two")}},
			[]string{"/b 100644 two"},
		},
		"whiteouts of what is not there, and AUFS's own records": {
			[][]testimage.Entry{{file("a", "one")}, {file(".wh.none", ""), file("no/such/.wh.x", ""), file(".wh..wh.plnk", ""), file("a/.wh.x", "")}},
			[]string{"/a 100644 one"},
		},
		"names begin at the root": {
			[][]testimage.Entry{{file("/etc/a", "one"), file("./etc//b", "two"), file("etc/./c", "three")}},
			[]string{"/etc 40755", "/etc/a 100644 one", "/etc/b 100644 two", "/etc/c 100644 three"},
		},
		"links on the way stay inside": {
			[][]testimage.Entry{
				{dir("usr"), dir("usr/bin"), symlink("bin", "usr/bin"), symlink("out", "../../../../etc"), symlink("abs", "/usr"), symlink("self", ".")},
				{file("bin/tool", "two"), file("out/passwd", "two"), file("abs/x", "two"), file("self/self/self/y", "two")},
			},
			[]string{
				"/abs 120777 -> /usr", "/bin 120777 -> usr/bin", "/etc 40755", "/etc/passwd 100644 two", "/out 120777 -> ../../../../etc",
				"/self 120777 -> .", "/usr 40755", "/usr/bin 40755", "/usr/bin/tool 100644 two", "/usr/x 100644 two", "/y 100644 two",
			},
		},
		"a link at the end is replaced, not followed": {
			[][]testimage.Entry{{file("target", "one"), symlink("l", "target")}, {file("l", "two")}},
			[]string{"/l 100644 two", "/target 100644 one"},
		},
		"hard links, within a layer and to a lower one": {
			[][]testimage.Entry{{file("a", "one"), link("b", "a")}, {link("c", "/b"), file("a", "two")}},
			[]string{"/a 100644 two", "/b 100644 one", "/c 100644 one"},
		},
		"odd modes and types": {
			[][]testimage.Entry{{
				mode(file("suid", "x"), 0o6711),
				{Header: tar.Header{Name: "null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}},
				{Header: tar.Header{Name: "disk", Typeflag: tar.TypeBlock, Mode: 0o600, Devmajor: 259, Devminor: 70000}},
				{Header: tar.Header{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0}},
			}},
			[]string{"/disk 60600", "/null 20666", "/pipe 10000", "/suid 106711 x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var archives [][]byte
			for _, entries := range c.layers {
				archives = append(archives, testimage.Tar(t, entries...))
			}
			tree, out, _, err := merge(t, &layer.Budget{}, archives...)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(tree.Root(), "", out)[1:]; !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestHardLinksShareAnInode(t *testing.T) {
	tree, _, _, err := merge(t, &layer.Budget{}, testimage.Tar(t, testimage.File("a", "x"), testimage.Link("b", "a"), testimage.Symlink("s", "a"), testimage.Link("s2", "s")))
	if err != nil {
		t.Fatal(err)
	}
	root := tree.Root().Children
	if root["a"] != root["b"] || root["s"] != root["s2"] {
		t.Error("names of one file lead to several")
	}
}

func TestAttributes(t *testing.T) {
	e := testimage.File("f", "x")
	e.Uid, e.Gid, e.Format = 70000, 5, tar.FormatPAX
	e.PAXRecords = map[string]string{
		"SCHILY.xattr.user.a": "1", "SCHILY.xattr.security.capability": "\x01\x00", "SCHILY.xattr.trusted.overlay.opaque": "y",
		"SCHILY.xattr.user.overlay.redirect": "/etc", "SCHILY.xattr.nfs.x": "y",
	}
	tree, _, _, err := merge(t, &layer.Budget{}, testimage.Tar(t, e))
	if err != nil {
		t.Fatal(err)
	}
	f := tree.Root().Children["f"]
	if f.UID != 70000 || f.GID != 5 || f.Seconds != testimage.Time.Unix() {
		t.Errorf("%+v", f)
	}
	if len(f.Xattrs) != 2 || f.Xattrs["user.a"] != "1" || f.Xattrs["security.capability"] != "\x01\x00" {
		t.Errorf("extended attributes %q", f.Xattrs)
	}
}

func TestHostileLayers(t *testing.T) {
	long := strings.Repeat("x", 300)
	file, symlink, link := testimage.File, testimage.Symlink, testimage.Link
	loop := []testimage.Entry{symlink("a", "b"), symlink("b", "a"), file("a/x", "")}
	for name, entries := range map[string][]testimage.Entry{
		"dot dot":                {file("../etc/passwd", "x")},
		"dot dot in the middle":  {file("a/../../etc/passwd", "x")},
		"dot dot in a link":      {link("a", "../../etc/passwd")},
		"dot dot in a whiteout":  {file("../.wh.etc", "")},
		"whiteout of dot dot":    {file("a/.wh...", "")},
		"whiteout of nothing":    {file(".wh.", "")},
		"long name":              {file(long, "x")},
		"long link target":       {symlink("a", strings.Repeat("x/", 2100))},
		"link to nothing":        {link("a", "b")},
		"link to a directory":    {testimage.Dir("d"), link("a", "d")},
		"link to itself":         {link("a", "a")},
		"empty link":             {symlink("a", "")},
		"below a file":           {file("a", "x"), file("a/b", "x")},
		"links in a circle":      loop,
		"root is a file":         {file(".", "x")},
		"device beyond":          {{Header: tar.Header{Name: "d", Typeflag: tar.TypeChar, Devmajor: 1 << 20}}},
		"large attributes":       {{Header: tar.Header{Name: "f", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"SCHILY.xattr.user.a": strings.Repeat("x", 70000)}}}},
		"a type that nobody has": {{Header: tar.Header{Name: "f", Typeflag: 'Z'}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := merge(t, &layer.Budget{}, testimage.Tar(t, entries...))
			var invalid *layer.InvalidError
			if !errors.As(err, &invalid) || len(err.Error()) > 6000 {
				t.Errorf("error %v", err)
			}
			t.Logf("%.300v", err)
		})
	}
}

func TestCutArchives(t *testing.T) {
	whole := testimage.Tar(t, testimage.File("a", strings.Repeat("x", 5000)), testimage.File("b", strings.Repeat("y", 5<<20)))
	for _, n := range []int{100, 600, 3000, 7000, len(whole) / 2} {
		_, _, _, err := merge(t, &layer.Budget{}, whole[:n])
		var invalid *layer.InvalidError
		if !errors.As(err, &invalid) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestBudget(t *testing.T) {
	deep := func(n int) []testimage.Entry {
		var list []testimage.Entry
		for i := range n {
			list = append(list, testimage.File(fmt.Sprintf("%d/%sx", i, strings.Repeat("d/", 500)), ""))
		}
		return list
	}
	for name, c := range map[string]struct {
		budget  *layer.Budget
		entries []testimage.Entry
	}{
		"bytes":             {&layer.Budget{Bytes: 1000}, []testimage.Entry{testimage.File("a", strings.Repeat("x", 600)), testimage.File("b", strings.Repeat("x", 600))}},
		"files":             {&layer.Budget{Files: 2}, []testimage.Entry{testimage.File("a", ""), testimage.File("b", ""), testimage.File("c", "")}},
		"directories above": {&layer.Budget{Files: 1000}, deep(3)},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := merge(t, c.budget, testimage.Tar(t, c.entries...))
			var limit *layer.LimitError
			if !errors.As(err, &limit) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A header may claim a file of holes that is larger than any disk, in an archive of a kilobyte.
func TestSparseFileOfExabytes(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: 1 << 60, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	_, _, _, err := merge(t, &layer.Budget{}, b.Bytes())
	var limit *layer.LimitError
	if !errors.As(err, &limit) {
		t.Errorf("error %v", err)
	}
}

func TestHiddenContentIsFound(t *testing.T) {
	big := strings.Repeat("x", 5000)
	tree, _, layers, err := merge(t, &layer.Budget{},
		testimage.Tar(t, testimage.File("a", big), testimage.File("b", big), testimage.File("c", big), testimage.Link("d", "c")),
		testimage.Tar(t, testimage.File("a", "small"), testimage.File(".wh.b", ""), testimage.File(".wh.c", "")))
	if err != nil {
		t.Fatal(err)
	}
	if hidden := tree.Hidden(layers); len(hidden) != 2 {
		t.Errorf("%d contents are hidden, want a and b of the first layer", len(hidden))
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	archive := testimage.Tar(t, testimage.File("a", "x"))
	if _, err := layer.Read(ctx, bytes.NewReader(archive), erofs.NewWriter(&memory{}).NewAppender(), &layer.Budget{}); !errors.Is(err, reason) {
		t.Errorf("error %v", err)
	}
}
