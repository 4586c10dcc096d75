package programs

import (
	"fmt"
	"io/fs"
	"path"
	"syscall"
)

func rm(p *Proc) int {
	o, ok := p.parse("rRfvid", map[string]string{"recursive": "r", "force": "f"})
	if !ok {
		return 1
	}
	status := 0
	for _, name := range o.rest {
		info, err := p.stat(name, false)
		switch {
		case err != nil && o.has("f"):
			continue
		case err != nil:
		case path.Clean(p.abs(name)) == "/":
			err = fmt.Errorf("it is dangerous to operate recursively on '/'")
		case info.Mode.IsDir() && o.has("rR"):
			err = p.FS.RemoveAll(p.User, p.abs(name))
		case info.Mode.IsDir() && !o.has("d"):
			err = &fs.PathError{Op: "remove", Path: name, Err: syscall.EISDIR}
		default:
			err = p.FS.Remove(p.User, p.abs(name))
		}
		if err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func rmdir(p *Proc) int {
	status := 0
	for _, name := range p.Args[1:] {
		info, err := p.stat(name, false)
		if err == nil && !info.Mode.IsDir() {
			err = &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTDIR}
		}
		if err == nil {
			err = p.FS.Remove(p.User, p.abs(name))
		}
		if err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}
