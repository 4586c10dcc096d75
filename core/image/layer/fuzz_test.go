package layer_test

import (
	"archive/tar"
	"bytes"
	"testing"

	reader "github.com/erofs/go-erofs"

	"io/fs"

	"github.com/voidbox-run/voidbox/core/image/layer"
	"github.com/voidbox-run/voidbox/internal/testimage"
)

var small = layer.Budget{Bytes: 1 << 20, Files: 1000}

func smallBudget() *layer.Budget { return &layer.Budget{Bytes: small.Bytes, Files: small.Files} }

// FuzzRead reads archives of anybody's.
func FuzzRead(f *testing.F) {
	f.Add(testimage.Tar(f, testimage.Dir("d"), testimage.File("d/a", "x"), testimage.Link("b", "d/a"), testimage.Symlink("s", "../d"), testimage.File("s/.wh.a", "")))
	f.Add(testimage.Tar(f, testimage.Entry{Header: tar.Header{Name: "f", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "1"}}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, archive []byte) {
		check(t, archive)
	})
}

// FuzzMerge makes layers of few names, so that they get in each other's way.
func FuzzMerge(f *testing.F) {
	f.Add([]byte("\x00\x01\x10\x02\x23\x34\xff\x51\x02\x60\x13\x00"))
	f.Add([]byte("\x41\x12\x42\x21\xff\x01\x12\x60\x03"))
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, archives(t, data)...)
	})
}

var words = []string{"a", "b", "l", "l/a", "a/b", "l/l/b", "./", "a/l"}

// archives reads two bytes an entry: what it is and what its names are. 0xff begins another layer.
func archives(t *testing.T, data []byte) [][]byte {
	list := [][]testimage.Entry{nil}
	for i := 0; i+1 < len(data) && i < 200; i += 2 {
		if data[i] == 0xff {
			list = append(list, nil)
			i--
			continue
		}
		name, other := words[data[i+1]%8], words[data[i+1]/8%8]
		e := []testimage.Entry{
			testimage.File(name, other), testimage.Dir(name), testimage.Symlink(name, "../"+other), testimage.Symlink(name, "/"+other),
			testimage.Link(name, other), testimage.File(name+"/.wh."+other[:1], ""), testimage.File(name+"/.wh..wh..opq", ""),
		}[data[i]%7]
		if name == "./" && e.Typeflag == tar.TypeReg && e.Name == name {
			continue // which tar cannot write
		}
		list[len(list)-1] = append(list[len(list)-1], e)
	}
	var all [][]byte
	for _, entries := range list {
		all = append(all, testimage.Tar(t, entries...))
	}
	return all
}

// check wants an error or an image that another reader can walk.
func check(t *testing.T, archives ...[]byte) {
	_, out, _, err := merge(t, smallBudget(), archives...)
	if err != nil {
		return
	}
	image, err := reader.Open(bytes.NewReader(out.b))
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(image, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		_, err = fs.ReadFile(image, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
