package programs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// dateLetters are the letters of strftime as Go's layouts.
var dateLetters = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'b': "Jan", 'B': "January", 'a': "Mon",
	'A': "Monday", 'e': "_2", 'I': "03", 'p': "PM", 'Z': "MST", 'z': "-0700", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05",
	'R': "15:04", 'D': "01/02/06", 'N': "000000000",
}

func date(p *Proc) int {
	now, format := time.Now().UTC(), "%a %b %e %H:%M:%S %Z %Y"
	args := p.Args[1:]
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-u", a == "--utc":
		case a == "-Iseconds", a == "--iso-8601=seconds":
			format = "%Y-%m-%dT%H:%M:%S+00:00"
		case a == "-I", a == "--iso-8601":
			format = "%F"
		case a == "-d" && i+1 < len(args):
			i++
			seconds, err := strconv.ParseInt(strings.TrimPrefix(args[i], "@"), 10, 64)
			if err != nil {
				p.errorf("invalid date '%s' (the mock knows @seconds)", args[i])
				return 1
			}
			now = time.Unix(seconds, 0).UTC()
		case strings.HasPrefix(a, "+"):
			format = a[1:]
		default:
			p.errorf("invalid date '%s'", a)
			return 1
		}
	}
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		switch layout, ok := dateLetters[format[i]]; {
		case format[i] == 's':
			fmt.Fprint(&out, now.Unix())
		case format[i] == 'n':
			out.WriteByte('\n')
		case format[i] == '%':
			out.WriteByte('%')
		case format[i] == 'N':
			fmt.Fprintf(&out, "%09d", now.Nanosecond())
		case ok:
			out.WriteString(now.Format(layout))
		default:
			out.WriteString(format[i-1 : i+1])
		}
	}
	p.print(out.String() + "\n")
	return 0
}

// duration reads seconds, or a number with s, m, h or d.
func duration(s string) (time.Duration, bool) {
	unit := time.Second
	for suffix, u := range map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = rest, u
		}
	}
	if s == "inf" || s == "infinity" {
		return 1 << 62, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0) || f*float64(unit) > 1<<62 {
		return 0, false
	}
	return time.Duration(f * float64(unit)), true
}

func sleep(p *Proc) int {
	var total time.Duration
	for _, a := range p.Args[1:] {
		d, ok := duration(a)
		if !ok {
			p.errorf("invalid time interval '%s'", a)
			return 1
		}
		total += min(d, 1<<61)
	}
	if len(p.Args) == 1 {
		p.errorf("missing operand")
		return 1
	}
	timer := time.NewTimer(total)
	defer timer.Stop()
	defer p.Sys.Wait(p)()
	select {
	case <-timer.C:
	case <-p.Ctx.Done():
		p.check()
	}
	return 0
}
