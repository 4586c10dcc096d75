package programs

import (
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

func mkdir(p *Proc) int {
	o, ok := p.parse("pm:v", map[string]string{"parents": "p", "mode": "m"})
	if !ok {
		return 1
	}
	perm, err := strconv.ParseUint(o.get("m", "755"), 8, 12)
	if err != nil {
		return p.fail(err)
	}
	status := 0
	for _, name := range o.rest {
		make := p.FS.Mkdir
		if o.has("p") {
			make = p.FS.MkdirAll
		}
		if err := make(p.User, p.abs(name), fs.FileMode(perm)); err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func touch(p *Proc) int {
	o, ok := p.parse("camd:t:r:", nil)
	if !ok {
		return 1
	}
	status := 0
	for _, name := range o.rest {
		err := p.FS.Touch(p.User, p.abs(name))
		if err != nil && !o.has("c") {
			var f *memfs.File
			if f, err = p.create(name, true); err == nil {
				f.Close()
			}
		}
		if err != nil && !o.has("c") {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func mktemp(p *Proc) int {
	o, ok := p.parse("dp:tuq", nil)
	if !ok {
		return 1
	}
	template := "tmp.XXXXXX"
	dir := o.get("p", "")
	if len(o.rest) > 0 {
		template = o.rest[0]
	} else if dir == "" {
		dir = "/tmp"
		if t := p.Env["TMPDIR"]; t != "" {
			dir = t
		}
	}
	if o.has("t") && dir == "" {
		dir = "/tmp"
	}
	stem := strings.TrimRight(template, "X")
	if dir != "" {
		stem = join(dir, stem)
	}
	for range 100 {
		const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		name := stem
		for range max(6, len(template)-len(strings.TrimRight(template, "X"))) {
			name += string(letters[rand.IntN(len(letters))])
		}
		if _, err := p.stat(name, false); err == nil {
			continue
		}
		var err error
		switch {
		case o.has("u"):
		case o.has("d"):
			err = p.FS.Mkdir(p.User, p.abs(name), 0o700)
		default:
			err = p.FS.WriteFile(p.User, p.abs(name), nil, 0o600)
		}
		if err != nil {
			return p.fail(named(err, name))
		}
		p.print(name + "\n")
		return 0
	}
	p.errorf("no free name")
	return 1
}

func mkfifo(p *Proc) int {
	status := 0
	for _, name := range p.Args[1:] {
		if err := p.FS.Mkfifo(p.User, p.abs(name), 0o644); err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func truncate(p *Proc) int {
	o, ok := p.parse("s:c", map[string]string{"size": "s"})
	size, valid := number(o.get("s", ""))
	if !ok || !valid || size < 0 {
		p.errorf("expects -s and a size")
		return 1
	}
	for _, name := range o.rest {
		f, err := p.create(name, true)
		if err == nil {
			err = f.Truncate(size)
			f.Close()
		}
		if err != nil {
			return p.fail(named(err, name))
		}
	}
	return 0
}
