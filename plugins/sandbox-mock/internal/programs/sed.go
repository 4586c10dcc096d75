package programs

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// edit is one command of a sed script: s, p, d, q, =, y, a, i or c, with up to two addresses.
type edit struct {
	from, to *address
	negate   bool
	active   bool // within a range
	verb     byte
	re       *regexp.Regexp
	text     string // replacement, or text of a, i and c
	global   bool
	print    bool
	nth      int
	table    map[rune]rune
}

// address selects lines: a number, the last, or those that match.
type address struct {
	line int
	last bool
	re   *regexp.Regexp
}

func sed(p *Proc) int {
	// -i takes its suffix only in the same word, which no other option does.
	inPlace := false
	args := p.Args[:1:1]
	for _, a := range p.Args[1:] {
		if strings.HasPrefix(a, "-i") || a == "--in-place" {
			inPlace = true
			continue
		}
		args = append(args, a)
	}
	p.Args = args
	o, ok := p.parse("nErse:f:", map[string]string{"quiet": "n", "regexp-extended": "E", "expression": "e"})
	if !ok {
		return 1
	}
	scripts, names := o.values["e"], o.rest
	for _, name := range o.values["f"] {
		b, err := p.FS.ReadFile(p.User, p.abs(name))
		if err != nil {
			return p.fail(err)
		}
		scripts = append(scripts, string(b))
	}
	if len(scripts) == 0 {
		if len(names) == 0 {
			p.errorf("no script")
			return 1
		}
		scripts, names = names[:1], names[1:]
	}
	edits, err := parseSed(strings.Join(scripts, "\n"), o.has("Er"))
	if err != nil {
		p.errorf("%v", err)
		return 1
	}
	if !inPlace {
		w := p.lines()
		defer w.Flush()
		lines, status := p.readLines(names)
		runSed(w, edits, lines, o.has("n"))
		return status
	}
	status := 0
	for _, name := range names {
		lines, s := p.readLines([]string{name})
		if s != 0 {
			status = s
			continue
		}
		var out bytes.Buffer
		runSed(&out, edits, lines, o.has("n"))
		if err := p.FS.WriteFile(p.User, p.abs(name), out.Bytes(), 0o644); err != nil {
			status = p.fail(err)
		}
	}
	return status
}

func runSed(w io.Writer, edits []*edit, lines []string, quiet bool) {
	for _, e := range edits {
		e.active = false
	}
	for i, line := range lines {
		deleted, quit, appended := false, false, ""
		for _, e := range edits {
			if !e.selects(line, i+1, i == len(lines)-1) {
				continue
			}
			switch e.verb {
			case 's':
				var changed bool
				if line, changed = e.substitute(line); changed && e.print {
					fmt.Fprintln(w, line)
				}
			case 'y':
				line = strings.Map(func(r rune) rune {
					if to, ok := e.table[r]; ok {
						return to
					}
					return r
				}, line)
			case 'p':
				fmt.Fprintln(w, line)
			case '=':
				fmt.Fprintln(w, i+1)
			case 'i':
				fmt.Fprintln(w, e.text)
			case 'a':
				appended += e.text + "\n"
			case 'c':
				fmt.Fprintln(w, e.text)
				deleted = true
			case 'd':
				deleted = true
			case 'q':
				quit = true
			}
			if deleted || quit {
				break
			}
		}
		if !deleted && !quiet {
			fmt.Fprintln(w, line)
		}
		io.WriteString(w, appended)
		if quit {
			return
		}
	}
}

func (a *address) matches(line string, n int, last bool) bool {
	switch {
	case a.last:
		return last
	case a.re != nil:
		return a.re.MatchString(line)
	}
	return a.line == n
}

func (e *edit) selects(line string, n int, last bool) bool {
	selected := true
	switch {
	case e.from == nil:
	case e.to == nil:
		selected = e.from.matches(line, n, last)
	case e.active:
		e.active = !e.to.matches(line, n, last) && (e.to.line == 0 || n < e.to.line)
	default:
		selected = e.from.matches(line, n, last)
		e.active = selected && (e.to.line == 0 || n < e.to.line)
	}
	return selected != e.negate
}

func (e *edit) substitute(line string) (string, bool) {
	var out strings.Builder
	at, n := 0, 0
	for _, m := range e.re.FindAllStringSubmatchIndex(line, -1) {
		n++
		if n < e.nth || (n > e.nth && !e.global) {
			continue
		}
		out.WriteString(line[at:m[0]])
		at = m[1]
		expandSed(&out, e.text, line, m)
	}
	if at == 0 && out.Len() == 0 && n < max(e.nth, 1) {
		return line, false
	}
	out.WriteString(line[at:])
	return out.String(), true
}

// expandSed writes a replacement: & and \0 to \9 stand for what matched.
func expandSed(out *strings.Builder, text, line string, m []int) {
	group := func(i int) {
		if 2*i+1 < len(m) && m[2*i] >= 0 {
			out.WriteString(line[m[2*i]:m[2*i+1]])
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '&':
			group(0)
		case c == '\\' && i+1 < len(text):
			i++
			switch {
			case text[i] >= '0' && text[i] <= '9':
				group(int(text[i] - '0'))
			case text[i] == 'n':
				out.WriteByte('\n')
			case text[i] == 't':
				out.WriteByte('\t')
			default:
				out.WriteByte(text[i])
			}
		default:
			out.WriteByte(c)
		}
	}
}

// sedScript is a script being parsed.
type sedScript struct {
	rest     string
	extended bool
}

func parseSed(script string, extended bool) ([]*edit, error) {
	s := &sedScript{rest: script, extended: extended}
	var edits []*edit
	for {
		s.rest = strings.TrimLeft(s.rest, " \t\n;")
		if s.rest == "" {
			return edits, nil
		}
		if s.rest[0] == '#' {
			_, s.rest, _ = strings.Cut(s.rest, "\n")
			continue
		}
		e, err := s.edit()
		if err != nil {
			return nil, err
		}
		edits = append(edits, e)
	}
}

func (s *sedScript) edit() (*edit, error) {
	e := &edit{nth: 1}
	var err error
	if e.from, err = s.address(); err != nil {
		return nil, err
	}
	if e.from != nil && strings.HasPrefix(s.rest, ",") {
		s.rest = s.rest[1:]
		if e.to, err = s.address(); err != nil || e.to == nil {
			return nil, fmt.Errorf("unexpected ',' (%v)", err)
		}
	}
	s.rest = strings.TrimLeft(s.rest, " ")
	if strings.HasPrefix(s.rest, "!") {
		e.negate, s.rest = true, strings.TrimLeft(s.rest[1:], " ")
	}
	if s.rest == "" {
		return nil, fmt.Errorf("missing command")
	}
	e.verb, s.rest = s.rest[0], s.rest[1:]
	switch e.verb {
	case 'p', 'd', 'q', '=':
		return e, nil
	case 's':
		return e, s.substitution(e)
	case 'y':
		return e, s.transliteration(e)
	case 'a', 'i', 'c':
		text, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimLeft(s.rest, " "), "\\"), "\n")
		if text == "" {
			text, rest, _ = strings.Cut(rest, "\n")
		}
		e.text, s.rest = strings.TrimLeft(text, " "), rest
		return e, nil
	}
	return nil, fmt.Errorf("unknown command: '%c' (the mock knows s, y, p, d, q, =, a, i and c)", e.verb)
}

func (s *sedScript) address() (*address, error) {
	switch {
	case s.rest == "":
		return nil, nil
	case s.rest[0] == '$':
		s.rest = s.rest[1:]
		return &address{last: true}, nil
	case s.rest[0] == '/':
		s.rest = s.rest[1:]
		expr, err := s.until('/')
		if err != nil {
			return nil, err
		}
		re, err := compile(expr, s.extended, false)
		return &address{re: re}, err
	}
	end := 0
	for end < len(s.rest) && s.rest[end] >= '0' && s.rest[end] <= '9' {
		end++
	}
	if end == 0 {
		return nil, nil
	}
	n, err := strconv.Atoi(s.rest[:end])
	s.rest = s.rest[end:]
	return &address{line: n}, err
}

// until cuts the script after the next bare delimiter. An escaped delimiter loses its backslash.
func (s *sedScript) until(delimiter byte) (string, error) {
	var part strings.Builder
	for i := 0; i < len(s.rest); i++ {
		c := s.rest[i]
		switch {
		case c == '\\' && i+1 < len(s.rest):
			i++
			if s.rest[i] != delimiter {
				part.WriteByte('\\')
			}
			part.WriteByte(s.rest[i])
		case c == delimiter:
			s.rest = s.rest[i+1:]
			return part.String(), nil
		default:
			part.WriteByte(c)
		}
	}
	return "", fmt.Errorf("unterminated '%c'", delimiter)
}

func (s *sedScript) substitution(e *edit) error {
	if s.rest == "" {
		return fmt.Errorf("unterminated 's' command")
	}
	delimiter := s.rest[0]
	s.rest = s.rest[1:]
	expr, err := s.until(delimiter)
	if err != nil {
		return err
	}
	if e.text, err = s.until(delimiter); err != nil {
		return err
	}
	fold := false
	for s.rest != "" && strings.IndexByte("gpiI0123456789", s.rest[0]) >= 0 {
		switch c := s.rest[0]; c {
		case 'g':
			e.global = true
		case 'p':
			e.print = true
		case 'i', 'I':
			fold = true
		default:
			e.nth = int(c - '0')
		}
		s.rest = s.rest[1:]
	}
	e.re, err = compile(expr, s.extended, fold)
	return err
}

func (s *sedScript) transliteration(e *edit) error {
	if s.rest == "" {
		return fmt.Errorf("unterminated 'y' command")
	}
	delimiter := s.rest[0]
	s.rest = s.rest[1:]
	from, err := s.until(delimiter)
	if err != nil {
		return err
	}
	to, err := s.until(delimiter)
	if err != nil {
		return err
	}
	a, b := []rune(from), []rune(to)
	if len(a) != len(b) {
		return fmt.Errorf("'y' needs sets of the same length")
	}
	e.table = map[rune]rune{}
	for i := range a {
		e.table[a[i]] = b[i]
	}
	return nil
}
