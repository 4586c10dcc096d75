package programs

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

var system = map[string]func(*Proc) int{
	"true": func(*Proc) int { return 0 }, "false": func(*Proc) int { return 1 },
	"echo": echo, "printf": printf, "env": env, "printenv": printenv, "date": date, "sleep": sleep, "timeout": timeout,
	"whoami": whoami, "id": id, "uname": uname, "hostname": hostname, "pwd": pwd, "which": which, "ps": ps, "kill": kill,
	"tty": tty, "basename": basename, "dirname": dirname, "xargs": xargs, "nohup": nohup, "nproc": nproc,
	"base64": base64Program, "sha256sum": sum(sha256.New), "md5sum": sum(md5.New), "test": testProgram, "[": testProgram,
	"expr": expr, "umask": func(p *Proc) int { p.print("0022\n"); return 0 }, "clear": func(*Proc) int { return 0 },
}

func echo(p *Proc) int {
	args, newline, escapes := p.Args[1:], true, false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "neE") == "" {
		newline = newline && !strings.Contains(args[0], "n")
		escapes = strings.Contains(args[0], "e")
		args = args[1:]
	}
	text := strings.Join(args, " ")
	if escapes {
		var stop bool
		if text, stop = unescape(text, true); stop {
			newline = false
		}
	}
	if newline {
		text += "\n"
	}
	p.print(text)
	return 0
}

func env(p *Proc) int {
	vars, args := maps.Clone(p.Env), p.Args[1:]
	for len(args) > 0 {
		name, value, assignment := strings.Cut(args[0], "=")
		switch {
		case args[0] == "-i" || args[0] == "-":
			vars = map[string]string{}
		case args[0] == "-u" && len(args) > 1:
			args = args[1:]
			delete(vars, args[0])
		case assignment:
			vars[name] = value
		case args[0] == "--":
		default:
			return p.Sys.Run(p, args, vars)
		}
		args = args[1:]
	}
	w := p.lines()
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		w.WriteString(name + "=" + vars[name] + "\n")
	}
	w.Flush()
	return 0
}

func printenv(p *Proc) int {
	if len(p.Args) == 1 {
		return env(p)
	}
	value, ok := p.Env[p.Args[1]]
	if !ok {
		return 1
	}
	p.print(value + "\n")
	return 0
}

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
	select {
	case <-timer.C:
	case <-p.Ctx.Done():
		p.check()
	}
	return 0
}

func whoami(p *Proc) int { p.print(p.Sys.Machine().User + "\n"); return 0 }

func id(p *Proc) int {
	o, ok := p.parse("ugnGr", nil)
	if !ok {
		return 1
	}
	m := p.Sys.Machine()
	switch {
	case o.has("ugG") && o.has("n"):
		p.print(m.User + "\n")
	case o.has("u"):
		p.printf("%d\n", m.UID)
	case o.has("gG"):
		p.printf("%d\n", m.GID)
	default:
		p.printf("uid=%d(%s) gid=%d(%s) groups=%d(%s)\n", m.UID, m.User, m.GID, m.User, m.GID, m.User)
	}
	return 0
}

func uname(p *Proc) int {
	o, ok := p.parse("asnrvmpio", map[string]string{"all": "a"})
	if !ok {
		return 1
	}
	m := p.Sys.Machine()
	var fields []string
	for _, f := range []struct{ letter, text string }{{"s", "Linux"}, {"n", m.Hostname}, {"r", m.Kernel}, {"v", m.Version}, {"m", m.Arch}, {"o", "GNU/Linux"}} {
		if o.has("a") || o.has(f.letter) || (f.letter == "s" && !o.has("nrvmpio")) {
			fields = append(fields, f.text)
		}
	}
	p.print(strings.Join(fields, " ") + "\n")
	return 0
}

func hostname(p *Proc) int {
	if len(p.Args) > 1 && p.Args[1][0] != '-' {
		p.errorf("sethostname: Operation not permitted")
		return 1
	}
	p.print(p.Sys.Machine().Hostname + "\n")
	return 0
}

func pwd(p *Proc) int {
	real, err := p.resolve(p.Dir, 0)
	if err != nil {
		return p.fail(err)
	}
	p.print(real + "\n")
	return 0
}

func which(p *Proc) int {
	status := 0
	for _, name := range p.Args[1:] {
		if name == "-a" {
			continue
		}
		found, err := p.Sys.Look(p, name)
		if err != nil {
			status = 1
			continue
		}
		p.print(found + "\n")
	}
	return status
}

func ps(p *Proc) int {
	w := p.lines()
	defer w.Flush()
	w.WriteString("    PID    PPID USER     COMMAND\n")
	for _, proc := range p.Sys.Processes() {
		fmt.Fprintf(w, "%7d %7d %-8s %s\n", proc.PID, proc.PPID, p.Sys.Machine().User, strings.Join(proc.Args, " "))
	}
	return 0
}

func kill(p *Proc) int {
	args, signal := p.Args[1:], 15
	if len(args) > 0 && args[0] == "-l" {
		for n := 1; n < 32; n++ {
			p.printf("%d) %s\n", n, sandbox.SignalName(n))
		}
		return 0
	}
	if len(args) > 1 && strings.HasPrefix(args[0], "-") {
		name := args[0][1:]
		args = args[1:]
		if name == "s" && len(args) > 1 {
			name, args = args[0], args[1:]
		}
		n, err := strconv.Atoi(name)
		if err != nil {
			var ok bool
			if n, ok = sandbox.SignalNumber(strings.TrimPrefix(strings.ToUpper(name), "SIG")); !ok {
				p.errorf("%s: invalid signal specification", name)
				return 1
			}
		}
		signal = n
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	status := 0
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		if err != nil {
			p.errorf("%s: arguments must be process or job IDs", a)
			return 1
		}
		if err := p.Sys.Kill(pid, signal); err != nil {
			p.errorf("(%d) - No such process", pid)
			status = 1
		}
	}
	return status
}

func tty(p *Proc) int {
	if p.Sys.Terminal(p, 0) {
		p.print("/dev/pts/0\n")
		return 0
	}
	p.print("not a tty\n")
	return 1
}

func basename(p *Proc) int {
	if len(p.Args) < 2 {
		p.errorf("missing operand")
		return 1
	}
	name := path.Base(p.Args[1])
	if len(p.Args) > 2 && name != p.Args[2] {
		name = strings.TrimSuffix(name, p.Args[2])
	}
	p.print(name + "\n")
	return 0
}

func dirname(p *Proc) int {
	for _, name := range p.Args[1:] {
		p.print(path.Dir(strings.TrimRight(name, "/")) + "\n")
	}
	return 0
}

func xargs(p *Proc) int {
	o, ok := p.parse("+0n:I:rP:d:tL:", map[string]string{"null": "0", "no-run-if-empty": "r"})
	if !ok {
		return 1
	}
	command := o.rest
	if len(command) == 0 {
		command = []string{"echo"}
	}
	input, err := io.ReadAll(p.in())
	if err != nil {
		return p.fail(err)
	}
	items := words(string(input))
	switch {
	case o.has("0"):
		items = strings.FieldsFunc(string(input), func(r rune) bool { return r == 0 })
	case o.has("IdL"):
		items = strings.FieldsFunc(string(input), func(r rune) bool { return r == '\n' })
	}
	status := 0
	run := func(args []string) {
		p.check()
		inner := *p
		inner.Stdin = nil
		if p.Sys.Run(&inner, args, p.Env) != 0 {
			status = 123
		}
	}
	if mark := o.get("I", ""); mark != "" {
		for _, item := range items {
			args := slices.Clone(command)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], mark, strings.TrimSpace(item))
			}
			run(args)
		}
		return status
	}
	batch, _ := number(o.get("n", o.get("L", "0")))
	if batch <= 0 {
		batch = 1 << 30
	}
	if len(items) == 0 && !o.has("r") {
		run(command)
	}
	for len(items) > 0 {
		n := min(int(batch), len(items))
		run(slices.Concat(command, items[:n]))
		items = items[n:]
	}
	return status
}

// words splits at blanks, and heeds quotes as xargs does.
func words(s string) []string {
	var out []string
	var word strings.Builder
	quote, inWord := rune(0), false
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, inWord = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if inWord {
				out = append(out, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		out = append(out, word.String())
	}
	return out
}

func nohup(p *Proc) int {
	if len(p.Args) < 2 {
		p.errorf("missing operand")
		return 125
	}
	return p.Sys.Run(p, p.Args[1:], p.Env)
}

func nproc(p *Proc) int { p.printf("%d\n", p.Sys.Machine().CPUs); return 0 }

func base64Program(p *Proc) int {
	o, ok := p.parse("dw:", map[string]string{"decode": "d", "wrap": "w"})
	if !ok {
		return 1
	}
	return p.eachInput(o.rest, func(_ string, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if o.has("d") {
			decoded, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(b), nil)))
			p.print(string(decoded))
			if err != nil {
				return fmt.Errorf("invalid input")
			}
			return nil
		}
		text := base64.StdEncoding.EncodeToString(b)
		width, _ := number(o.get("w", "76"))
		if width <= 0 {
			p.print(text)
			return nil
		}
		for len(text) > 0 {
			n := min(int(width), len(text))
			p.print(text[:n] + "\n")
			text = text[n:]
		}
		return nil
	})
}

func sum(algorithm func() hash.Hash) func(p *Proc) int {
	return func(p *Proc) int {
		return p.eachInput(p.Args[1:], func(name string, r io.Reader) error {
			h := algorithm()
			if _, err := io.Copy(h, r); err != nil {
				return err
			}
			p.printf("%s  %s\n", hex.EncodeToString(h.Sum(nil)), name)
			return nil
		})
	}
}

// testProgram is for those who run test from outside a shell: the shell has its own.
func testProgram(p *Proc) int {
	script := `test "$@"`
	if p.Args[0] == "[" {
		script = `[ "$@"`
	}
	return p.Sys.Run(p, append([]string{"sh", "-c", script, p.Args[0]}, p.Args[1:]...), p.Env)
}
