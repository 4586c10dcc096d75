package programs

import (
	"strconv"
	"strings"
)

func seq(p *Proc) int {
	o := p.Args[1:]
	separator := "\n"
	if len(o) > 1 && o[0] == "-s" {
		separator, o = o[1], o[2:]
	}
	var n []int64
	for _, a := range o {
		v, ok := number(a)
		if !ok {
			p.errorf("invalid number '%s'", a)
			return 1
		}
		n = append(n, v)
	}
	first, step, last := int64(1), int64(1), int64(0)
	switch len(n) {
	case 1:
		last = n[0]
	case 2:
		first, last = n[0], n[1]
	case 3:
		first, step, last = n[0], n[1], n[2]
	default:
		p.errorf("expects one to three numbers")
		return 1
	}
	if step == 0 {
		p.errorf("step must not be 0")
		return 1
	}
	w := p.lines()
	for i := first; (step > 0 && i <= last) || (step < 0 && i >= last); i += step {
		if i != first {
			w.WriteString(separator)
		}
		w.WriteString(strconv.FormatInt(i, 10))
	}
	if (step > 0 && first <= last) || (step < 0 && first >= last) {
		w.WriteString("\n")
	}
	w.Flush()
	return 0
}

func yes(p *Proc) int {
	line := "y\n"
	if len(p.Args) > 1 {
		line = strings.Join(p.Args[1:], " ") + "\n"
	}
	w := p.lines()
	for {
		w.WriteString(line)
	}
}
