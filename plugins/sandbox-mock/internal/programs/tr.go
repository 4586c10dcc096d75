package programs

import (
	"slices"
	"strconv"
	"strings"
)

func tr(p *Proc) int {
	o, ok := p.parse("dscC", nil)
	if !ok || len(o.rest) < 1 || len(o.rest) > 2 {
		p.errorf("expects one or two sets")
		return 1
	}
	from := charSet(o.rest[0])
	var to []byte
	if len(o.rest) > 1 {
		to = charSet(o.rest[1])
	}
	if o.has("cC") {
		var rest []byte
		for b := range 256 {
			if !slices.Contains(from, byte(b)) {
				rest = append(rest, byte(b))
			}
		}
		from = rest
	}
	var drop, squeeze [256]bool
	var table [256]byte
	for i := range table {
		table[i] = byte(i)
	}
	for i, b := range from {
		switch {
		case o.has("d"):
			drop[b] = true
		case len(to) > 0:
			table[b] = to[min(i, len(to)-1)]
		}
	}
	if o.has("s") {
		last := from
		if len(to) > 0 {
			last = to
		}
		for _, b := range last {
			squeeze[b] = true
		}
	}
	in, out := p.in(), p.out()
	buf, result := make([]byte, 32<<10), make([]byte, 0, 32<<10)
	previous := -1
	for {
		n, err := in.Read(buf)
		result = result[:0]
		for _, b := range buf[:n] {
			if drop[b] {
				continue
			}
			b = table[b]
			if squeeze[b] && previous == int(b) {
				continue
			}
			previous = int(b)
			result = append(result, b)
		}
		out.Write(result)
		if err != nil {
			return 0
		}
	}
}

var classes = map[string]string{
	"[:lower:]": "a-z", "[:upper:]": "A-Z", "[:digit:]": "0-9", "[:alpha:]": "A-Za-z", "[:alnum:]": "0-9A-Za-z",
	"[:space:]": "\t\n\v\f\r ", "[:blank:]": "\t ", "[:punct:]": "!-/:-@\\[-`{-~", "[:print:]": " -~", "[:cntrl:]": "\x01-\x1f",
}

// charSet expands classes, escapes and ranges.
func charSet(s string) []byte {
	for name, chars := range classes {
		s = strings.ReplaceAll(s, name, chars)
	}
	var set []byte
	for i := 0; i < len(s); {
		b, n := charAt(s[i:])
		i += n
		if i+1 < len(s) && s[i] == '-' {
			last, n := charAt(s[i+1:])
			i += 1 + n
			for c := int(b); c <= int(last); c++ {
				set = append(set, byte(c))
			}
			continue
		}
		set = append(set, b)
	}
	return set
}

// charAt reads one character, which may be an escape, and its length.
func charAt(s string) (byte, int) {
	if s[0] != '\\' || len(s) == 1 {
		return s[0], 1
	}
	if i := strings.IndexByte("abfnrtv", s[1]); i >= 0 {
		return "\a\b\f\n\r\t\v"[i], 2
	}
	end := 1
	for end < len(s) && end < 4 && s[end] >= '0' && s[end] <= '7' {
		end++
	}
	if n, err := strconv.ParseUint(s[1:end], 8, 8); err == nil {
		return byte(n), end
	}
	return s[1], 2
}
