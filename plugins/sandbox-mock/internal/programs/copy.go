package programs

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

func cp(p *Proc) int {
	o, ok := p.parse("rRafpvdT", map[string]string{"recursive": "r", "force": "f"})
	if !ok || len(o.rest) < 2 {
		p.errorf("expects sources and a target")
		return 1
	}
	target, status := o.rest[len(o.rest)-1], 0
	for _, source := range o.rest[:len(o.rest)-1] {
		if err := p.copyTree(source, p.into(source, target), o.has("rRa")); err != nil {
			status = p.fail(err)
		}
	}
	return status
}

func (p *Proc) copyTree(source, target string, recursive bool) error {
	p.check()
	info, err := p.stat(source, !recursive)
	if err != nil {
		return err
	}
	switch {
	case info.Mode.Type() == fs.ModeSymlink:
		return p.FS.Symlink(p.User, info.Target, p.abs(target))
	case info.Mode.IsDir() && !recursive:
		return fmt.Errorf("-r not specified; omitting directory '%s'", source)
	case info.Mode.IsDir():
		if strings.HasPrefix(path.Clean(p.abs(target))+"/", path.Clean(p.abs(source))+"/") {
			return fmt.Errorf("cannot copy a directory, '%s', into itself, '%s'", source, target)
		}
		if _, err := p.stat(target, true); err != nil {
			if err := p.FS.Mkdir(p.User, p.abs(target), info.Mode.Perm()); err != nil {
				return named(err, target)
			}
		}
		entries, err := p.FS.ReadDir(p.User, p.abs(source))
		if err != nil {
			return named(err, source)
		}
		for _, e := range entries {
			if err := p.copyTree(join(source, e.Name), join(target, e.Name), true); err != nil {
				return err
			}
		}
		return nil
	}
	return p.copyFile(source, target, info)
}

func (p *Proc) copyFile(source, target string, info memfs.Info) error {
	if old, err := p.stat(target, true); err == nil && old.Inode == info.Inode {
		return fmt.Errorf("'%s' and '%s' are the same file", source, target)
	}
	in, err := p.open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	_, statErr := p.stat(target, true)
	out, err := p.create(target, false)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return named(err, target)
	}
	if statErr != nil {
		return p.FS.Chmod(p.User, p.abs(target), info.Mode.Perm())
	}
	return nil
}

func mv(p *Proc) int {
	o, ok := p.parse("fnvT", nil)
	if !ok || len(o.rest) < 2 {
		p.errorf("expects sources and a target")
		return 1
	}
	target, status := o.rest[len(o.rest)-1], 0
	for _, source := range o.rest[:len(o.rest)-1] {
		to := p.into(source, target)
		if _, err := p.stat(to, false); err == nil && o.has("n") {
			continue
		}
		if err := p.FS.Rename(p.User, p.abs(source), p.abs(to)); err != nil {
			status = p.fail(named(err, source))
		}
	}
	return status
}
