package programs

import (
	"io"
	"slices"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

func cat(p *Proc) int {
	o, ok := p.parse("nuA", nil)
	if !ok {
		return 1
	}
	n := 0
	return p.eachInput(o.rest, func(_ string, r io.Reader) error {
		if !o.has("n") {
			_, err := io.Copy(p.out(), r)
			return err
		}
		return p.scan(r, func(line string) bool {
			n++
			p.printf("%6d\t%s\n", n, line)
			return true
		})
	})
}

func tac(p *Proc) int {
	lines, status := p.readLines(p.Args[1:])
	w := p.lines()
	for _, line := range slices.Backward(lines) {
		w.WriteString(line + "\n")
	}
	w.Flush()
	return status
}

func rev(p *Proc) int {
	lines, status := p.readLines(p.Args[1:])
	for _, line := range lines {
		r := []rune(line)
		slices.Reverse(r)
		p.print(string(r) + "\n")
	}
	return status
}

func nl(p *Proc) int {
	lines, status := p.readLines(p.Args[1:])
	n := 0
	for _, line := range lines {
		if line == "" {
			p.print("       \n")
			continue
		}
		n++
		p.printf("%6d\t%s\n", n, line)
	}
	return status
}

func tee(p *Proc) int {
	o, ok := p.parse("a", nil)
	if !ok {
		return 1
	}
	status := 0
	writers := []io.Writer{p.out()}
	for _, name := range o.rest {
		f, err := p.create(name, o.has("a"))
		if err != nil {
			status = p.fail(err)
			continue
		}
		defer func(f *memfs.File) { f.Close() }(f)
		writers = append(writers, f)
	}
	if _, err := io.Copy(io.MultiWriter(writers...), p.in()); err != nil {
		return p.fail(err)
	}
	return status
}
