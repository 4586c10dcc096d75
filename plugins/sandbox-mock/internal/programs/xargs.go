package programs

import (
	"slices"
	"strings"
)

func xargs(p *Proc) int {
	o, ok := p.parse("+0n:I:rP:d:tL:", map[string]string{"null": "0", "no-run-if-empty": "r"})
	if !ok {
		return 1
	}
	command := o.rest
	if len(command) == 0 {
		command = []string{"echo"}
	}
	input, err := p.readAll(p.in())
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
