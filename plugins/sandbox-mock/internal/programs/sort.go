package programs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

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
