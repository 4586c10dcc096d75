package programs

import (
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

func (p *Proc) stat(name string, follow bool) (memfs.Info, error) {
	if name == "" {
		return memfs.Info{}, &fs.PathError{Op: "stat", Path: name, Err: syscall.ENOENT}
	}
	info, err := p.FS.Stat(p.User, p.abs(name), follow)
	return info, named(err, name)
}

// unixMode is a mode as ls shows it.
func unixMode(m fs.FileMode) string {
	kind := byte('-')
	switch m.Type() {
	case fs.ModeDir:
		kind = 'd'
	case fs.ModeSymlink:
		kind = 'l'
	case fs.ModeNamedPipe:
		kind = 'p'
	case fs.ModeDevice | fs.ModeCharDevice:
		kind = 'c'
	}
	text := []byte(m.Perm().String())
	text[0] = kind
	if m&fs.ModeSticky != 0 {
		text[9] = 't'
	}
	return string(text)
}

// join joins a name below a directory as the user wrote it.
func join(dir, name string) string { return strings.TrimSuffix(dir, "/") + "/" + name }

// into returns where a source lands: below the target when that is a directory.
func (p *Proc) into(source, target string) string {
	if info, err := p.stat(target, true); err == nil && info.Mode.IsDir() {
		return join(target, path.Base(source))
	}
	return target
}
