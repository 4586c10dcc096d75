package programs

import (
	"strconv"
	"strings"
)

// options are the flags of a command line: letters, and words after two dashes.
type options struct {
	p      *Proc
	values map[string][]string
	rest   []string
}

// parse reads flags as getopt does. spec lists the letters, each followed by a colon when it takes a value; long maps words to
// letters. It returns false, after a message, for a flag that is not listed.
func (p *Proc) parse(spec string, long map[string]string) (*options, bool) {
	o := &options{p: p, values: map[string][]string{}}
	args := p.Args[1:]
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			o.rest = append(o.rest, args...)
			return o, true
		case strings.HasPrefix(arg, "--"):
			word, value, given := strings.Cut(arg[2:], "=")
			letter, ok := long[word]
			if !ok {
				p.errorf("unrecognized option '%s'", arg)
				return nil, false
			}
			if takesValue(spec, letter[0]) && !given {
				if len(args) == 0 {
					p.errorf("option '%s' requires an argument", arg)
					return nil, false
				}
				value, args = args[0], args[1:]
			}
			o.values[letter] = append(o.values[letter], value)
		case len(arg) > 1 && arg[0] == '-':
			var ok bool
			if args, ok = o.letters(spec, arg[1:], args); !ok {
				return nil, false
			}
		default:
			o.rest = append(o.rest, arg)
			if strings.HasPrefix(spec, "+") {
				o.rest = append(o.rest, args...)
				return o, true
			}
		}
	}
	return o, true
}

func takesValue(spec string, letter byte) bool {
	i := strings.IndexByte(spec, letter)
	return i >= 0 && i+1 < len(spec) && spec[i+1] == ':'
}

func (o *options) letters(spec, cluster string, args []string) ([]string, bool) {
	for i := 0; i < len(cluster); i++ {
		letter := cluster[i]
		if letter == ':' || letter == '+' || strings.IndexByte(spec, letter) < 0 {
			o.p.errorf("invalid option -- '%c'", letter)
			return nil, false
		}
		key := string(letter)
		if !takesValue(spec, letter) {
			o.values[key] = append(o.values[key], "")
			continue
		}
		value := cluster[i+1:]
		if value == "" {
			if len(args) == 0 {
				o.p.errorf("option requires an argument -- '%c'", letter)
				return nil, false
			}
			value, args = args[0], args[1:]
		}
		o.values[key] = append(o.values[key], value)
		break
	}
	return args, true
}

// has tells whether any of the letters was given.
func (o *options) has(letters string) bool {
	for _, l := range letters {
		if len(o.values[string(l)]) > 0 {
			return true
		}
	}
	return false
}

// get returns the last value of a letter, or fallback.
func (o *options) get(letter, fallback string) string {
	if v := o.values[letter]; len(v) > 0 {
		return v[len(v)-1]
	}
	return fallback
}

// number reads digits with an optional suffix of k, M or G.
func number(s string) (int64, bool) {
	factor := int64(1)
	for suffix, f := range map[string]int64{"k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, factor = rest, f
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > 1<<50 || n < -(1<<50) {
		return 0, false
	}
	return n * factor, true
}
