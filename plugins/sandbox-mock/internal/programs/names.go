package programs

import (
	"path"
	"strings"
)

func pwd(p *Proc) int {
	real, err := p.resolve(p.Dir, 0)
	if err != nil {
		return p.fail(err)
	}
	p.print(real + "\n")
	return 0
}

func which(p *Proc) int {
	status := 0
	for _, name := range p.Args[1:] {
		if name == "-a" {
			continue
		}
		found, err := p.Sys.Look(p, name)
		if err != nil {
			status = 1
			continue
		}
		p.print(found + "\n")
	}
	return status
}

func basename(p *Proc) int {
	if len(p.Args) < 2 {
		p.errorf("missing operand")
		return 1
	}
	name := path.Base(p.Args[1])
	if len(p.Args) > 2 && name != p.Args[2] {
		name = strings.TrimSuffix(name, p.Args[2])
	}
	p.print(name + "\n")
	return 0
}

func dirname(p *Proc) int {
	for _, name := range p.Args[1:] {
		p.print(path.Dir(strings.TrimRight(name, "/")) + "\n")
	}
	return 0
}
