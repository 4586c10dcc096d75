package programs

import (
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

func wc(p *Proc) int {
	o, ok := p.parse("lwcm", map[string]string{"lines": "l", "words": "w", "bytes": "c", "chars": "m"})
	if !ok {
		return 1
	}
	all := !o.has("lwcm")
	var total [4]int
	report := func(c [4]int, name string) {
		var fields []string
		for i, letter := range []string{"l", "w", "m", "c"} {
			if o.has(letter) || (all && letter != "m") {
				fields = append(fields, strconv.Itoa(c[i]))
			}
		}
		if name != "-" {
			fields = append(fields, name)
		}
		p.print(strings.Join(fields, " ") + "\n")
	}
	status := p.eachInput(o.rest, func(name string, r io.Reader) error {
		c, err := count(r)
		for i := range c {
			total[i] += c[i]
		}
		if err == nil {
			report(c, name)
		}
		return err
	})
	if len(o.rest) > 1 {
		report(total, "total")
	}
	return status
}

// count returns lines, words, characters and bytes.
func count(r io.Reader) (c [4]int, err error) {
	buf := make([]byte, 32<<10)
	inWord := false
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b == '\n' {
				c[0]++
			}
			space := b == ' ' || (b >= '\t' && b <= '\r')
			if !space && !inWord {
				c[1]++
			}
			inWord = !space
			if utf8.RuneStart(b) {
				c[2]++
			}
		}
		c[3] += n
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return c, err
		}
	}
}
