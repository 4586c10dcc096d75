package programs

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"syscall"
)

func head(p *Proc) int {
	return ends(p, func(w *bufio.Writer, r io.Reader, count int64, bytes bool) error {
		if bytes {
			_, err := io.CopyN(w, r, max(count, 0))
			if err == io.EOF {
				err = nil
			}
			return err
		}
		if count <= 0 {
			return nil
		}
		return p.scan(r, func(line string) bool {
			w.WriteString(line + "\n")
			count--
			return count > 0
		})
	})
}

func tail(p *Proc) int {
	return ends(p, func(w *bufio.Writer, r io.Reader, count int64, bytes bool) error {
		if bytes {
			b, err := p.readAll(r)
			w.Write(b[max(0, int64(len(b))-count):])
			return err
		}
		var lines []string
		held := uint64(0)
		fromStart := count < 0
		skip := -count - 1
		err := p.scan(r, func(line string) bool {
			if fromStart {
				if skip--; skip < 0 {
					w.WriteString(line + "\n")
				}
				return true
			}
			lines = append(lines, line)
			held += uint64(len(line)) + lineOverhead
			if int64(len(lines)) > count {
				held -= uint64(len(lines[0])) + lineOverhead
				lines = lines[1:]
			}
			return held <= p.Limits.Memory()
		})
		if held > p.Limits.Memory() {
			return syscall.ENOMEM
		}
		for _, line := range lines {
			w.WriteString(line + "\n")
		}
		return err
	})
}

// ends is what head and tail share: -n, -c, -5, and names above the files when there are several. Tail's +N becomes -N.
func ends(p *Proc, copyEnd func(w *bufio.Writer, r io.Reader, count int64, bytes bool) error) int {
	for i, a := range p.Args[1:] {
		if len(a) > 1 && a[0] == '-' && a[1] >= '0' && a[1] <= '9' {
			p.Args[i+1] = "-n" + a[1:]
		}
	}
	o, ok := p.parse("n:c:qvf", map[string]string{"lines": "n", "bytes": "c", "quiet": "q"})
	if !ok {
		return 1
	}
	value := o.get("c", o.get("n", "10"))
	if rest, plus := strings.CutPrefix(value, "+"); plus {
		value = "-" + rest
	}
	count, ok := number(value)
	if !ok {
		p.errorf("invalid number: '%s'", value)
		return 1
	}
	w := p.lines()
	first := true
	status := p.eachInput(o.rest, func(name string, r io.Reader) error {
		if len(o.rest) > 1 && !o.has("q") {
			if !first {
				w.WriteString("\n")
			}
			fmt.Fprintf(w, "==> %s <==\n", name)
		}
		first = false
		return copyEnd(w, r, count, o.has("c"))
	})
	w.Flush()
	return status
}
