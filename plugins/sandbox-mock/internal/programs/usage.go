package programs

import (
	"fmt"
	"strconv"
)

func du(p *Proc) int {
	o, ok := p.parse("shakbcd:", nil)
	if !ok {
		return 1
	}
	names := o.rest
	if len(names) == 0 {
		names = []string{"."}
	}
	status := 0
	for _, name := range names {
		if _, err := p.duTree(name, o, true); err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func (p *Proc) duTree(name string, o *options, top bool) (int64, error) {
	p.check()
	info, err := p.stat(name, false)
	if err != nil {
		return 0, err
	}
	total := info.Size
	if info.Mode.IsDir() {
		entries, err := p.FS.ReadDir(p.User, p.abs(name))
		if err != nil {
			return 0, err
		}
		for _, e := range entries {
			n, err := p.duTree(join(name, e.Name), o, false)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	if top || (info.Mode.IsDir() || o.has("a")) && !o.has("s") {
		size := strconv.FormatInt((total+1023)/1024, 10)
		switch {
		case o.has("b"):
			size = strconv.FormatInt(total, 10)
		case o.has("h"):
			size = human(total)
		}
		p.printf("%s\t%s\n", size, name)
	}
	return total, nil
}

func human(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	f := float64(n)
	for _, unit := range "KMGT" {
		if f /= 1024; f < 1024 {
			return fmt.Sprintf("%.1f%c", f, unit)
		}
	}
	return fmt.Sprintf("%.1fP", f/1024)
}
