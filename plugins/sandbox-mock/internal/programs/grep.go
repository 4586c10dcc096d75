package programs

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// search is a grep at work.
type search struct {
	p       *Proc
	o       *options
	re      *regexp.Regexp
	names   bool // file names in front
	matched bool
	status  int
}

func grep(p *Proc) int {
	o, ok := p.parse("EFGPivnclLqrRhHoswxe:m:A:B:C:", map[string]string{
		"include": "I", "ignore-case": "i", "count": "c", "line-number": "n", "recursive": "r", "quiet": "q", "invert-match": "v",
		"files-with-matches": "l", "only-matching": "o", "extended-regexp": "E", "fixed-strings": "F", "color": "K",
	})
	if !ok {
		return 2
	}
	exprs, names := o.values["e"], o.rest
	if len(exprs) == 0 {
		if len(names) == 0 {
			p.errorf("no pattern")
			return 2
		}
		exprs, names = strings.Split(names[0], "\n"), names[1:]
	}
	for i, e := range exprs {
		switch {
		case o.has("F") || path.Base(p.Args[0]) == "fgrep":
			e = regexp.QuoteMeta(e)
		case !o.has("EP") && path.Base(p.Args[0]) != "egrep":
			e = fromBasic(e)
		}
		if o.has("w") {
			e = `\b(?:` + e + `)\b`
		}
		if o.has("x") {
			e = `^(?:` + e + `)$`
		}
		exprs[i] = "(?:" + e + ")"
	}
	re, err := compile(strings.Join(exprs, "|"), true, o.has("i"))
	if err != nil {
		p.errorf("%v", err)
		return 2
	}
	s := &search{p: p, o: o, re: re, names: (len(names) > 1 || o.has("rRH")) && !o.has("h")}
	if o.has("rR") && len(names) == 0 {
		names = []string{"."}
	}
	if len(names) == 0 {
		names = []string{"-"}
	}
	for _, name := range names {
		s.path(name)
	}
	switch {
	case s.matched && o.has("q"):
		return 0
	case s.status != 0:
		return s.status
	case s.matched:
		return 0
	}
	return 1
}

// path searches a file, or a tree.
func (s *search) path(name string) {
	if s.o.has("rR") && name != "-" {
		info, err := s.p.FS.Stat(s.p.User, s.p.abs(name), true)
		if err == nil && info.Mode.IsDir() {
			entries, err := s.p.FS.ReadDir(s.p.User, s.p.abs(name))
			if err != nil {
				s.complain(err, name)
			}
			for _, e := range entries {
				if e.Mode.Type() != fs.ModeSymlink {
					s.path(strings.TrimSuffix(name, "/") + "/" + e.Name)
				}
			}
			return
		}
		if include := s.o.get("I", ""); include != "" {
			if ok, _ := path.Match(include, path.Base(name)); !ok {
				return
			}
		}
	}
	if err := s.p.useInput(name, s.file); err != nil {
		s.complain(err, name)
	}
}

func (s *search) complain(err error, name string) {
	s.status = 2
	if !s.o.has("s") {
		s.p.fail(named(err, name))
	}
}

func (s *search) file(name string, r io.Reader) error {
	prefix := ""
	if s.names {
		prefix = name + ":"
	}
	after, _ := number(s.o.get("A", s.o.get("C", "0")))
	before, _ := number(s.o.get("B", s.o.get("C", "0")))
	limit, limited := number(s.o.get("m", ""))
	var held []string
	trailing := int64(0)
	count, n := int64(0), 0
	show := func(line string, number int, mark string) {
		lead := strings.TrimSuffix(prefix, ":")
		if lead != "" {
			lead += mark
		}
		if s.o.has("n") {
			lead += fmt.Sprintf("%d%s", number, mark)
		}
		s.p.print(lead + line + "\n")
	}
	err := s.p.scan(r, func(line string) bool {
		n++
		if s.re.MatchString(line) == s.o.has("v") {
			switch {
			case trailing > 0:
				trailing--
				if !s.o.has("qclLo") {
					show(line, n, "-")
				}
			case before > 0:
				held = append(held, line)
				held = held[max(0, int64(len(held))-before):]
			}
			return true
		}
		s.matched = true
		count++
		switch {
		case s.o.has("qlL"):
			return false
		case s.o.has("c"):
		case s.o.has("o"):
			for _, m := range s.re.FindAllString(line, -1) {
				if m != "" {
					show(m, n, ":")
				}
			}
		default:
			for i, h := range held {
				show(h, n-len(held)+i, "-")
			}
			held, trailing = nil, after
			show(line, n, ":")
		}
		return !limited || count < limit
	})
	switch {
	case s.o.has("q"):
	case s.o.has("l") && count > 0, s.o.has("L") && count == 0:
		s.p.print(name + "\n")
	case s.o.has("c"):
		s.p.printf("%s%d\n", prefix, count)
	}
	return err
}
