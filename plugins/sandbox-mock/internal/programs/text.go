package programs

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

var text = map[string]func(*Proc) int{
	"cat": cat, "head": head, "tail": tail, "wc": wc, "sort": sortLines, "uniq": uniq, "cut": cut, "tr": tr, "tee": tee,
	"seq": seq, "yes": yes, "tac": tac, "rev": rev, "nl": nl, "grep": grep, "egrep": grep, "fgrep": grep, "sed": sed, "diff": diff,
}

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
		return scan(r, func(line string) bool {
			n++
			p.printf("%6d\t%s\n", n, line)
			return true
		})
	})
}

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
		return scan(r, func(line string) bool {
			w.WriteString(line + "\n")
			count--
			return count > 0
		})
	})
}

func tail(p *Proc) int {
	return ends(p, func(w *bufio.Writer, r io.Reader, count int64, bytes bool) error {
		if bytes {
			b, err := io.ReadAll(r)
			w.Write(b[max(0, int64(len(b))-count):])
			return err
		}
		var lines []string
		fromStart := count < 0
		skip := -count - 1
		err := scan(r, func(line string) bool {
			if fromStart {
				if skip--; skip < 0 {
					w.WriteString(line + "\n")
				}
				return true
			}
			lines = append(lines, line)
			if int64(len(lines)) > count {
				lines = lines[1:]
			}
			return true
		})
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

func sortLines(p *Proc) int {
	o, ok := p.parse("rnufk:t:bo:", nil)
	if !ok {
		return 2
	}
	lines, status := p.readLines(o.rest)
	key := func(line string) string { return line }
	if k := o.get("k", ""); k != "" {
		from, to, err := fieldRange(strings.ReplaceAll(strings.TrimRight(k, "nr"), ",", "-"))
		if err != nil {
			return p.fail(err)
		}
		if !strings.Contains(k, ",") {
			to = 1 << 30
		}
		key = func(line string) string { return pickFields(line, o.get("t", ""), from, to) }
	}
	numeric := o.has("n") || strings.ContainsAny(o.get("k", ""), "n")
	less := func(a, b string) int {
		ka, kb := key(a), key(b)
		if o.has("f") {
			ka, kb = strings.ToLower(ka), strings.ToLower(kb)
		}
		c := strings.Compare(ka, kb)
		if numeric {
			c = cmp.Compare(leadingNumber(ka), leadingNumber(kb))
		}
		if c == 0 && !o.has("u") {
			c = strings.Compare(a, b)
		}
		if o.has("r") || strings.Contains(o.get("k", ""), "r") {
			c = -c
		}
		return c
	}
	slices.SortStableFunc(lines, less)
	if o.has("u") {
		lines = slices.CompactFunc(lines, func(a, b string) bool { return less(a, b) == 0 })
	}
	if name := o.get("o", ""); name != "" {
		content := strings.Join(lines, "\n") + "\n"
		if err := p.FS.WriteFile(p.User, p.abs(name), []byte(content), 0o644); err != nil {
			return p.fail(err)
		}
		return status
	}
	w := p.lines()
	for _, line := range lines {
		w.WriteString(line + "\n")
	}
	w.Flush()
	return status
}

func leadingNumber(s string) float64 {
	s = strings.TrimLeft(s, " \t")
	end := 0
	for end < len(s) && strings.IndexByte("+-.0123456789", s[end]) >= 0 {
		end++
	}
	f, _ := strconv.ParseFloat(s[:end], 64)
	return f
}

func uniq(p *Proc) int {
	o, ok := p.parse("cdui", nil)
	if !ok {
		return 1
	}
	lines, status := p.readLines(o.rest[:min(len(o.rest), 1)])
	w := p.lines()
	for i := 0; i < len(lines); {
		n := 1
		for i+n < len(lines) && (lines[i+n] == lines[i] || o.has("i") && strings.EqualFold(lines[i+n], lines[i])) {
			n++
		}
		switch {
		case o.has("d") && n == 1, o.has("u") && n > 1:
		case o.has("c"):
			fmt.Fprintf(w, "%7d %s\n", n, lines[i])
		default:
			w.WriteString(lines[i] + "\n")
		}
		i += n
	}
	w.Flush()
	return status
}

// fieldRange reads N, N-M, N- or -M.
func fieldRange(s string) (from, to int, err error) {
	a, b, isRange := strings.Cut(s, "-")
	from, to = 1, 1<<30
	if a != "" {
		if from, err = strconv.Atoi(a); err != nil || from < 1 {
			return 0, 0, fmt.Errorf("invalid field range '%s'", s)
		}
	}
	if !isRange {
		return from, from, nil
	}
	if b != "" {
		if to, err = strconv.Atoi(b); err != nil {
			return 0, 0, fmt.Errorf("invalid field range '%s'", s)
		}
	}
	return from, to, nil
}

// pickFields returns fields from..to, counted from 1. Without a delimiter, fields are separated by blanks.
func pickFields(line, delimiter string, from, to int) string {
	fields := strings.Fields(line)
	joint := " "
	if delimiter != "" {
		fields, joint = strings.Split(line, delimiter), delimiter
	}
	if from > len(fields) {
		return ""
	}
	return strings.Join(fields[from-1:min(to, len(fields))], joint)
}

func cut(p *Proc) int {
	o, ok := p.parse("d:f:c:b:s", map[string]string{"delimiter": "d", "fields": "f", "characters": "c"})
	if !ok {
		return 1
	}
	list, delimiter := o.get("f", ""), o.get("d", "\t")
	byChar := list == ""
	if byChar {
		list, delimiter = o.get("c", o.get("b", "")), ""
	}
	type span struct{ from, to int }
	var spans []span
	for part := range strings.SplitSeq(list, ",") {
		from, to, err := fieldRange(part)
		if err != nil {
			return p.fail(err)
		}
		spans = append(spans, span{from, to})
	}
	w := p.lines()
	status := p.eachInput(o.rest, func(_ string, r io.Reader) error {
		return scan(r, func(line string) bool {
			if !byChar && !strings.Contains(line, delimiter) {
				if !o.has("s") {
					w.WriteString(line + "\n")
				}
				return true
			}
			fields := strings.Split(line, delimiter)
			var picked []string
			for i, f := range fields {
				if slices.ContainsFunc(spans, func(s span) bool { return s.from <= i+1 && i+1 <= s.to }) {
					picked = append(picked, f)
				}
			}
			w.WriteString(strings.Join(picked, delimiter) + "\n")
			return true
		})
	})
	w.Flush()
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
