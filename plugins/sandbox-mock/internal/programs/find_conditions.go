package programs

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

func (f *finder) glob(word, pattern string) (test, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("bad pattern '%s'", pattern)
	}
	return func(name string, _ memfs.Info) bool {
		pattern, subject := pattern, path.Base(name)
		switch word {
		case "-iname":
			pattern, subject = strings.ToLower(pattern), strings.ToLower(subject)
		case "-path", "-wholename":
			// Its star matches slashes too.
			pattern, subject = strings.ReplaceAll(pattern, "/", "\x01"), strings.ReplaceAll(name, "/", "\x01")
		}
		ok, _ := path.Match(pattern, subject)
		return ok
	}, nil
}

// compare parses +N, -N or N.
func (f *finder) compare(word, text string) (test, error) {
	sign := strings.TrimRight(text, "0123456789ckMG")
	digits := strings.TrimLeft(text, "+-")
	bytes := strings.HasSuffix(digits, "c")
	n, ok := number(strings.TrimSuffix(digits, "c"))
	if !ok {
		return nil, fmt.Errorf("bad number '%s'", text)
	}
	return func(_ string, i memfs.Info) bool {
		var have int64
		switch {
		case word == "-mtime":
			have = int64(time.Since(i.ModTime).Hours() / 24)
		case word == "-mmin":
			have = int64(time.Since(i.ModTime).Minutes())
		case bytes || strings.ContainsAny(digits, "kMG"):
			have = i.Size
		default:
			have = (i.Size + 511) / 512
		}
		switch sign {
		case "+":
			return have > n
		case "-":
			return have < n
		}
		return have == n
	}, nil
}

func (f *finder) exec() (test, error) {
	f.acts = true
	var command []string
	for {
		if len(f.args) == 0 {
			return nil, fmt.Errorf("-exec without an end")
		}
		word := f.next()
		if word == ";" {
			break
		}
		if word == "+" && len(command) > 0 && command[len(command)-1] == "{}" {
			var names []string
			f.last = append(f.last, func() {
				if len(names) > 0 && f.p.Sys.Run(f.p, append(command[:len(command)-1:len(command)-1], names...), f.p.Env) != 0 {
					f.status = 1
				}
			})
			return func(n string, _ memfs.Info) bool { names = append(names, n); return true }, nil
		}
		command = append(command, word)
	}
	return func(n string, _ memfs.Info) bool {
		args := slices.Clone(command)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "{}", n)
		}
		return f.p.Sys.Run(f.p, args, f.p.Env) == 0
	}, nil
}
