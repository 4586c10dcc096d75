package programs

import (
	"maps"
	"slices"
	"strings"
)

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
