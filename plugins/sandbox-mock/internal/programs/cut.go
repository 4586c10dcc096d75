package programs

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

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
		return p.scan(r, func(line string) bool {
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
