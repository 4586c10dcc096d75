package remote

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Limits of what is unpacked. A skill is smaller than what holds it.
const (
	MaxFiles   = 512
	MaxBytes   = 8 << 20
	maxEntries = 100_000   // of the archive, those outside of the skill's directory too
	maxStream  = 512 << 20 // bytes of the archive, uncompressed
	maxName    = 1024
)

const manifest = "SKILL.md"

// tree is the directory that a skill is unpacked into.
type tree struct {
	root    *os.Root
	subdir  string
	entries int
	files   int
	bytes   int64
	found   []string // directories that hold a skill, for the error where subdir does not
}

// add takes an entry of an archive. Directories come into being with their files.
func (t *tree) add(name string, mode fs.FileMode, content io.Reader) error {
	if t.entries++; t.entries > maxEntries {
		return errdef.New(errdef.ErrExhausted, "it holds more than %d entries", maxEntries)
	}
	name = strings.TrimPrefix(name, "./")
	if path.Base(name) == manifest && len(t.found) < 5 && safeName(name) {
		t.found = append(t.found, path.Dir(name))
	}
	inside, ok := t.inside(name)
	if !ok || mode.IsDir() {
		return nil
	}
	if !safeName(name) {
		return errdef.New(errdef.ErrInvalid, "it holds a file with the name %.200q, which leads out of its directory or is no name", name)
	}
	if !mode.IsRegular() {
		return errdef.New(errdef.ErrInvalid, "it holds %.200q, which is neither a file nor a directory", name).
			WithRemedy("a skill may hold no links: copy what they point to")
	}
	return t.write(inside, mode, content)
}

// inside is a name within the skill's directory.
func (t *tree) inside(name string) (string, bool) {
	if t.subdir == "" {
		return name, true
	}
	return strings.CutPrefix(name, t.subdir+"/")
}

func (t *tree) write(name string, mode fs.FileMode, content io.Reader) error {
	if t.files++; t.files > MaxFiles {
		return errdef.New(errdef.ErrExhausted, "it holds more than %d files", MaxFiles).
			WithRemedy("name the directory of the skill: ...//directory")
	}
	perm := fs.FileMode(0o644)
	if mode&0o100 != 0 {
		perm = 0o755
	}
	if err := t.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return clash(name, err)
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return clash(name, err)
	}
	n, err := io.Copy(f, io.LimitReader(content, MaxBytes-t.bytes+1))
	if t.bytes += n; err == nil && t.bytes > MaxBytes {
		err = errdef.New(errdef.ErrExhausted, "it holds more than %d bytes", MaxBytes).WithRemedy("name the directory of the skill: ...//directory")
	}
	return errors.Join(err, f.Close())
}

// clash explains an archive that holds a name twice, or a file where it also has a directory.
func clash(name string, err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) && (errors.Is(err, fs.ErrExist) || strings.Contains(pathErr.Err.Error(), "not a directory")) {
		return errdef.New(errdef.ErrInvalid, "it holds %.200q twice", name)
	}
	return err
}

// check finds a tree that is no skill.
func (t *tree) check() error {
	if _, err := t.root.Stat(manifest); err == nil {
		return nil
	}
	where := "its top"
	if t.subdir != "" {
		where = t.subdir
	}
	err := errdef.New(errdef.ErrNotFound, "it has no %s in %s", manifest, where)
	if len(t.found) > 0 {
		return err.WithRemedy("skills lie in: %s; name one behind a double slash, ...//%s", strings.Join(t.found, ", "), t.found[0])
	}
	return err
}

// safeName tells whether a slash-separated path stays below where it starts, and can be printed.
func safeName(name string) bool {
	if !fs.ValidPath(name) || name == "." || len(name) > maxName || !utf8.ValidString(name) || strings.Contains(name, `\`) {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
