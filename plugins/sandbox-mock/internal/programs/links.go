package programs

import (
	"io/fs"
	"path"
	"strings"
	"syscall"
)

func ln(p *Proc) int {
	o, ok := p.parse("sfnvT", nil)
	if !ok || len(o.rest) < 1 || len(o.rest) > 2 {
		p.errorf("expects a target and a name")
		return 1
	}
	target, name := o.rest[0], path.Base(o.rest[0])
	if len(o.rest) == 2 {
		name = o.rest[1]
		if !o.has("nT") {
			name = p.into(target, name)
		}
	}
	if o.has("f") {
		_ = p.FS.Remove(p.User, p.abs(name)) // making the link tells what is wrong
	}
	var err error
	if o.has("s") {
		err = p.FS.Symlink(p.User, target, p.abs(name))
	} else {
		err = p.FS.Link(p.User, p.abs(target), p.abs(name))
	}
	if err != nil {
		return p.fail(named(err, name))
	}
	return 0
}

func readlink(p *Proc) int {
	o, ok := p.parse("fen", nil)
	if !ok {
		return 1
	}
	if o.has("fe") {
		p.Args = append([]string{p.Args[0]}, o.rest...)
		return realpath(p)
	}
	status := 0
	for _, name := range o.rest {
		info, err := p.stat(name, false)
		if err != nil || info.Target == "" {
			status = 1
			continue
		}
		p.print(info.Target + "\n")
	}
	return status
}

func realpath(p *Proc) int {
	status := 0
	for _, name := range p.Args[1:] {
		real, err := p.resolve(p.abs(name), 0)
		if err != nil {
			status = p.fail(named(err, name))
			continue
		}
		p.print(real + "\n")
	}
	return status
}

// resolve follows every link. Only the last element may be missing.
func (p *Proc) resolve(name string, links int) (string, error) {
	real, parts := "/", strings.Split(name, "/")
	for i, part := range parts {
		switch part {
		case "", ".":
			continue
		case "..":
			real = path.Dir(real)
			continue
		}
		info, err := p.FS.Stat(p.User, join(real, part), false)
		if err != nil && i < len(parts)-1 {
			return "", err
		}
		if err != nil || info.Target == "" {
			real = join(real, part)
			continue
		}
		if links++; links > 40 {
			return "", &fs.PathError{Op: "stat", Path: name, Err: syscall.ELOOP}
		}
		target := info.Target
		if !path.IsAbs(target) {
			target = join(real, target)
		}
		return p.resolve(strings.Join(append([]string{target}, parts[i+1:]...), "/"), links)
	}
	return real, nil
}
