package programs

import (
	"fmt"
	"strconv"
	"strings"
)

// printf applies its format again until the arguments are used up.
func printf(p *Proc) int {
	args := p.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		p.errorf("missing operand")
		return 2
	}
	f := &formatter{format: args[0], args: args[1:]}
	for {
		before := len(f.args)
		text, stop := f.once()
		p.print(text)
		if stop || len(f.args) == 0 || len(f.args) == before {
			break
		}
	}
	if f.err != nil {
		p.errorf("%v", f.err)
		return 1
	}
	return 0
}

type formatter struct {
	format string
	args   []string
	err    error
}

func (f *formatter) next() string {
	if len(f.args) == 0 {
		return ""
	}
	a := f.args[0]
	f.args = f.args[1:]
	return a
}

// once applies the format; stop is set by \c.
func (f *formatter) once() (text string, stop bool) {
	var out strings.Builder
	for i := 0; i < len(f.format); {
		switch c := f.format[i]; {
		case c == '\\':
			n := escapeLength(f.format[i:], false)
			part, stop := unescape(f.format[i:i+n], false)
			out.WriteString(part)
			if stop {
				return out.String(), true
			}
			i += n
		case c == '%' && strings.HasPrefix(f.format[i:], "%%"):
			out.WriteByte('%')
			i += 2
		case c == '%':
			end := i + 1
			for end < len(f.format) && strings.IndexByte("-+ #0123456789.*", f.format[end]) >= 0 {
				end++
			}
			if end == len(f.format) {
				out.WriteString(f.format[i:])
				return out.String(), false
			}
			part, stop := f.verb(f.format[i:end], f.format[end])
			out.WriteString(part)
			if stop {
				return out.String(), true
			}
			i = end + 1
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String(), false
}

// verb formats one argument. Widths are bounded, since they come from a script.
func (f *formatter) verb(flags string, verb byte) (string, bool) {
	for strings.Contains(flags, "*") {
		n, _ := strconv.Atoi(f.next())
		flags = strings.Replace(flags, "*", strconv.Itoa(n), 1)
	}
	for part := range strings.FieldsFuncSeq(flags, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(part); err != nil || n > 1<<16 {
			f.err = fmt.Errorf("width of %s is too large", part)
			return "", true
		}
	}
	arg := f.next()
	switch verb {
	case 's':
		return fmt.Sprintf(flags+"s", arg), false
	case 'b':
		text, stop := unescape(arg, true)
		return fmt.Sprintf(flags+"s", text), stop
	case 'q':
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'", false
	case 'c':
		return fmt.Sprintf(flags+"s", arg[:min(1, len(arg))]), false
	case 'd', 'i':
		return fmt.Sprintf(flags+"d", f.integer(arg)), false
	case 'u':
		return fmt.Sprintf(flags+"d", uint64(f.integer(arg))), false
	case 'o', 'x', 'X':
		return fmt.Sprintf(flags+string(verb), uint64(f.integer(arg))), false
	case 'f', 'F', 'e', 'E', 'g', 'G':
		n, err := strconv.ParseFloat(arg, 64)
		if err != nil && arg != "" {
			f.err = fmt.Errorf("'%s': expected a numeric value", arg)
		}
		return fmt.Sprintf(flags+string(verb), n), false
	}
	f.err = fmt.Errorf("%%%c: invalid directive", verb)
	return "", true
}

func (f *formatter) integer(s string) int64 {
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') {
		return int64([]rune(s[1:])[0])
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil && s != "" {
		f.err = fmt.Errorf("'%s': expected a numeric value", s)
	}
	return n
}

// escapeLength returns the length of the escape at the start of s. In arguments, octal digits follow a zero.
func escapeLength(s string, argument bool) int {
	if len(s) < 2 {
		return len(s)
	}
	digits := func(from, most int, valid string) int {
		end := from
		for end < len(s) && end < from+most && strings.IndexByte(valid, s[end]) >= 0 {
			end++
		}
		return end
	}
	switch {
	case s[1] == '0' && argument:
		return digits(2, 3, "01234567")
	case s[1] >= '0' && s[1] <= '7':
		return digits(1, 3, "01234567")
	case s[1] == 'x':
		return digits(2, 2, "0123456789abcdefABCDEF")
	}
	return 2
}

// unescape replaces escapes; it stops at \c.
func unescape(s string, argument bool) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			i++
			continue
		}
		n := escapeLength(s[i:], argument)
		e := s[i : i+n]
		i += n
		switch {
		case e[1] == 'c':
			return out.String(), true
		case e[1] == 'x' && n > 2:
			v, _ := strconv.ParseUint(e[2:], 16, 8)
			out.WriteByte(byte(v))
		case e[1] >= '0' && e[1] <= '7':
			v, _ := strconv.ParseUint(e[1:], 8, 16)
			out.WriteByte(byte(v))
		case strings.IndexByte("abfnrtve\\\"'", e[1]) >= 0:
			out.WriteByte("\a\b\f\n\r\t\v\x1b\\\"'"[strings.IndexByte("abfnrtve\\\"'", e[1])])
		default:
			out.WriteString(e)
		}
	}
	return out.String(), false
}
