package skill

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// fromHost reads a skill from a file or a directory of the host.
func fromHost(d *plan.Skill) (Skill, error) {
	info, err := os.Stat(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return Skill{}, errdef.New(errdef.ErrNotFound, "there is no file %s", d.Path)
	}
	if err != nil {
		return Skill{}, err
	}
	if info.IsDir() {
		return fromDir(d)
	}
	if !info.Mode().IsRegular() {
		return Skill{}, errdef.New(errdef.ErrInvalid, "%s is neither a file nor a directory", d.Path)
	}
	content, err := readFile(d.Path, MaxBytes)
	if err != nil {
		return Skill{}, err
	}
	return fromText(d, content)
}

// fromDir reads a directory: regular files only, and nothing outside of it. os.Root refuses links that lead out.
func fromDir(d *plan.Skill) (Skill, error) {
	root, err := os.OpenRoot(d.Path)
	if err != nil {
		return Skill{}, err
	}
	defer root.Close()
	var files []File
	left := MaxBytes
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return errdef.New(errdef.ErrInvalid, "%s is neither a file nor a directory", filepath.Join(d.Path, name))
		}
		if len(files) == MaxFiles {
			return errdef.New(errdef.ErrExhausted, "%s holds more than %d files", d.Path, MaxFiles)
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		content, err := readAll(f, d.Path, left)
		if err != nil {
			return err
		}
		left -= len(content)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files = append(files, File{Path: filepath.ToSlash(name), Content: content, Mode: 0o644 | info.Mode().Perm()&0o111})
		return nil
	})
	if err != nil {
		return Skill{}, err
	}
	for i, f := range files {
		if f.Path != main {
			continue
		}
		s, err := fromText(d, f.Content)
		if err != nil {
			return Skill{}, err
		}
		files[i] = s.Files[0]
		s.Files = files
		return s, nil
	}
	return Skill{}, errdef.New(errdef.ErrNotFound, "the directory %s has no %s", d.Path, main)
}

func readFile(name string, limit int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, limit)
}

func readAll(f io.Reader, what string, limit int) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(content) > limit {
		return nil, errdef.New(errdef.ErrExhausted, "%s is larger than %d bytes", what, MaxBytes)
	}
	return content, nil
}
