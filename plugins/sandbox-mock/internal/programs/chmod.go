package programs

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

func chmod(p *Proc) int {
	// A mode such as -x looks like an option.
	args, recursive := p.Args[1:], false
	for len(args) > 0 && (args[0] == "-R" || args[0] == "--") {
		recursive = recursive || args[0] == "-R"
		args = args[1:]
	}
	if len(args) < 2 {
		p.errorf("expects a mode and files")
		return 1
	}
	status := 0
	var apply func(name string)
	apply = func(name string) {
		info, err := p.stat(name, true)
		if err == nil {
			var mode fs.FileMode
			if mode, err = newMode(args[0], info.Mode); err == nil {
				err = p.FS.Chmod(p.User, p.abs(name), mode)
			}
		}
		if err != nil {
			status = p.fail(named(err, name))
			return
		}
		if recursive && info.Mode.IsDir() {
			entries, _ := p.FS.ReadDir(p.User, p.abs(name))
			for _, e := range entries {
				if e.Mode.Type() != fs.ModeSymlink {
					apply(join(name, e.Name))
				}
			}
		}
	}
	for _, name := range args[1:] {
		apply(name)
	}
	return status
}

// newMode applies an octal mode, or clauses such as u+x,go-w.
func newMode(text string, old fs.FileMode) (fs.FileMode, error) {
	if n, err := strconv.ParseUint(text, 8, 12); err == nil {
		mode := fs.FileMode(n) & fs.ModePerm
		if n&0o1000 != 0 {
			mode |= fs.ModeSticky
		}
		return mode, nil
	}
	mode := old.Perm()
	for clause := range strings.SplitSeq(text, ",") {
		at := strings.IndexAny(clause, "+-=")
		if at < 0 {
			return 0, fmt.Errorf("invalid mode: '%s'", text)
		}
		var who, bits fs.FileMode
		for _, c := range clause[:at] {
			who |= map[rune]fs.FileMode{'u': 0o700, 'g': 0o070, 'o': 0o007, 'a': 0o777}[c]
		}
		if at == 0 {
			who = 0o777
		}
		for _, c := range clause[at+1:] {
			b, ok := map[rune]fs.FileMode{'r': 0o444, 'w': 0o222, 'x': 0o111, 'X': 0o111, 's': 0, 't': 0}[c]
			if !ok {
				return 0, fmt.Errorf("invalid mode: '%s'", text)
			}
			bits |= b
		}
		switch clause[at] {
		case '+':
			mode |= who & bits
		case '-':
			mode &^= who & bits
		case '=':
			mode = mode&^who | who&bits
		}
	}
	return mode, nil
}
