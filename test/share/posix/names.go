//go:build linux

package posix

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

var itoa = strconv.Itoa

// nameCases ask for names that programs choose, and attackers.
func nameCases(a *area) {
	for what, name := range map[string]string{
		"255 bytes":                  strings.Repeat("x", nameMax),
		"255 bytes of UTF-8":         strings.Repeat("ü", nameMax/2) + "x",
		"a space at either end":      " a b ",
		"a newline":                  "a\nb",
		"a tab and a bell":           "\t\a",
		"bytes that are not UTF-8":   "\xff\xfe\x80",
		"a backslash and quotes":     `a\b"'` + "`",
		"a star and a question mark": "*?[a-z]",
		"a leading dash":             "-rf",
		"three dots":                 "...",
		"a colon":                    "a:b",
		"one letter":                 "a",
		"a byte of 1":                "\x01",
		"a byte of 255":              "\xff",
		"composed and decomposed":    "\u00e9",
		"emoji":                      "👩‍🚀",
		"the end of a Windows name":  "con.txt.",
		"percent":                    "%s%n%2f",
		"what an overlay makes":      ".wh..wh.opq",
		"what FUSE hides":            ".fuse_hidden0001",
		"right to left":              "\u202egpj.exe",
		"a delete":                   "\x7f",
		"a tilde":                    "~",
	} {
		a.test("name/"+what, "d/", func(t *T) {
			at := "d/" + name
			t.write(at, what)
			t.reads(at, what)
			entries, err := os.ReadDir(t.at("d"))
			if err != nil || len(entries) != 1 || entries[0].Name() != name {
				t.errorf("listed as %v, %v", entries, err)
			}
			t.must(os.Rename(t.at(at), t.at("other")))
			t.gone(at)
			t.must(os.Mkdir(t.at(at), 0o755))
			t.must(os.Remove(t.at(at)))
		})
	}
	a.test("name/case is told apart", "File=1 file=2 FILE=3", func(t *T) {
		t.reads("File", "1")
		t.reads("file", "2")
		t.reads("FILE", "3")
		t.must(os.Remove(t.at("file")))
		t.reads("FILE", "3")
	})
	a.test("name/composition is told apart", "", func(t *T) {
		t.write("\u00e9", "one")
		t.write("e\u0301", "two")
		t.reads("\u00e9", "one")
		t.reads("e\u0301", "two")
	})
	for _, op := range []struct {
		name string
		call func(t *T, long string) error
	}{
		{"rename to", func(t *T, long string) error { return os.Rename(t.at("f"), t.at(long)) }},
		{"link to", func(t *T, long string) error { return os.Link(t.at("f"), t.at(long)) }},
		{"symlink at", func(t *T, long string) error { return os.Symlink("f", t.at(long)) }},
	} {
		a.test("name/"+op.name+" 256 bytes", "f=1", func(t *T) {
			t.fails(op.call(t, strings.Repeat("x", nameMax+1)), unix.ENAMETOOLONG)
			t.reads("f", "1")
			same(t, "what is there", t.names("."), "f")
		})
	}
	a.test("name/what has just been missed can be made", "d/", func(t *T) {
		t.gone("d/f")
		t.write("d/f", "1")
		t.reads("d/f", "1")
		t.must(os.Remove(t.at("d/f")))
		t.gone("d/f")
		t.must(os.Mkdir(t.at("d/f"), 0o755))
		same(t, "kind", t.stat("d/f").Mode&unix.S_IFMT, unix.S_IFDIR)
	})
	a.test("name/a name is used again", "f=old", func(t *T) {
		before := t.open("f", unix.O_RDONLY, 0)
		for range 20 {
			t.must(os.Remove(t.at("f")))
			t.write("f", "new")
			t.reads("f", "new")
		}
		t.holds(before, 0, []byte("old"))
	})
}
