package source

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Kind is a kind of image.
type Kind string

// Kinds. The string is the prefix of their names.
const (
	Base      Kind = "base"
	Registry  Kind = ""
	Layout    Kind = "oci"
	Archive   Kind = "docker-archive"
	Directory Kind = "dir"
	Disk      Kind = "disk"
)

// BaseName is the name of the built-in system.
const BaseName = "base"

// Source is where an image comes from.
type Source struct {
	Kind Kind
	// Path is the absolute path of what lies on this machine.
	Path string
	// Ref is the full reference in a registry, or which image of a layout or archive: a tag or a digest, empty for the only one.
	Ref string
}

// String returns a name that Parse reads as s.
func (s Source) String() string {
	switch s.Kind {
	case Base:
		return BaseName
	case Registry:
		return s.Ref
	}
	text := string(s.Kind) + ":" + s.Path
	switch {
	case s.Ref == "":
	case strings.Contains(s.Ref, ":"):
		text += "@" + s.Ref
	default:
		text += ":" + s.Ref
	}
	return text
}

// OCI tells whether s has layers or a tree to make a disk of, and perhaps a main process.
func (s Source) OCI() bool { return s.Kind != Base && s.Kind != Disk }

// Parse reads a name. A relative path starts from dir. What lies on this machine must exist.
func Parse(text, dir string) (Source, error) {
	if text == BaseName {
		return Source{Kind: Base}, nil
	}
	for _, kind := range []Kind{Layout, Archive, Directory, Disk} {
		if path, ok := strings.CutPrefix(text, string(kind)+":"); ok {
			return local(kind, path, dir)
		}
	}
	if looksLikePath(text) {
		return guess(text, dir)
	}
	return registry(text)
}

func looksLikePath(text string) bool {
	return strings.HasPrefix(text, ".") || strings.HasPrefix(text, "~/") || filepath.IsAbs(text) ||
		strings.HasSuffix(text, ".img") || strings.HasSuffix(text, ".raw")
}

func invalid(format string, args ...any) *errdef.Error {
	return errdef.New(errdef.ErrInvalid, format, args...)
}

// MissingError says that there is nothing at a path.
type MissingError struct{ Given, Path string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("the image %s does not exist (looked for %s)", e.Given, e.Path)
}

func absolute(path, dir string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		return filepath.Join(home, rest), nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Abs(path)
}

// local reads what stands behind a prefix. A layout or an archive may name one of its images behind the path.
func local(kind Kind, text, dir string) (Source, error) {
	s, err := find(kind, text, dir)
	if err == nil || kind == Directory || kind == Disk {
		return s, err
	}
	// Neither a path nor a tag is without colons for sure, so that what exists decides.
	for at, c := range text {
		if c != ':' && c != '@' || at == 0 {
			continue
		}
		if s, err := find(kind, text[:at], dir); err == nil {
			s.Ref = text[at+1:]
			return s, nil
		}
	}
	return s, err
}

func find(kind Kind, path, dir string) (Source, error) {
	abs, err := absolute(path, dir)
	if err != nil {
		return Source{}, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return Source{}, &MissingError{path, abs}
	}
	if wantsDir := kind == Layout || kind == Directory; wantsDir != info.IsDir() {
		return Source{}, invalid("the image %s:%s is not what its prefix says: %s is %s", kind, path, abs, describe(info))
	}
	if kind == Layout && !isLayout(abs) {
		return Source{}, invalid("%s is not an OCI image layout: it has no file oci-layout", abs).
			WithRemedy("for a directory that is a root file system, write dir:%s", path)
	}
	return Source{Kind: kind, Path: abs}, nil
}

func describe(info os.FileInfo) string {
	if info.IsDir() {
		return "a directory"
	}
	return "not a directory"
}

func isLayout(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "oci-layout"))
	return err == nil && info.Mode().IsRegular()
}

// guess looks at what lies at a path.
func guess(path, dir string) (Source, error) {
	abs, err := absolute(path, dir)
	if err != nil {
		return Source{}, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return Source{}, &MissingError{path, abs}
	}
	switch {
	case info.IsDir() && isLayout(abs):
		return Source{Kind: Layout, Path: abs}, nil
	case info.IsDir():
		return Source{Kind: Directory, Path: abs}, nil
	case info.Mode()&os.ModeDevice != 0:
		return Source{Kind: Disk, Path: abs}, nil
	case !info.Mode().IsRegular():
		return Source{}, invalid("%s is not an image: it is neither a file, a directory nor a disk", path)
	case isTar(abs):
		return Source{Kind: Archive, Path: abs}, nil
	}
	return Source{Kind: Disk, Path: abs}, nil
}

// isTar looks for the magic of a tar header.
func isTar(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 262)
	_, err = io.ReadFull(f, head)
	return err == nil && bytes.Equal(head[257:], []byte("ustar"))
}

// registry reads a reference, and makes it a full one.
func registry(text string) (Source, error) {
	if !strings.ContainsAny(text, "/:@") {
		return Source{}, invalid("there is no image %q", text).
			WithRemedy("write docker.io/library/%s:latest for that image of Docker Hub, ./%s for a file, or base for the built-in system", text, text)
	}
	ref, err := name.ParseReference(text)
	if err != nil {
		return Source{}, invalid("%q is not the name of an image: %w", text, err)
	}
	full := ref.Name()
	if hub, ok := strings.CutPrefix(full, name.DefaultRegistry+"/"); ok {
		full = "docker.io/" + hub // as everybody writes it
	}
	return Source{Kind: Registry, Ref: full}, nil
}
