package programs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

// test is one condition or action of find.
type test func(name string, info memfs.Info) bool

func find(p *Proc) int {
	args := p.Args[1:]
	var roots []string
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") && args[0] != "!" && args[0] != "(" {
		roots, args = append(roots, args[0]), args[1:]
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	f := &finder{p: p, args: args, maxDepth: 1 << 30}
	match, err := f.or()
	if err == nil && len(f.args) > 0 {
		err = fmt.Errorf("unexpected '%s'", f.args[0])
	}
	if err != nil {
		p.errorf("%v", err)
		return 1
	}
	if !f.acts {
		inner := match
		match = func(name string, info memfs.Info) bool {
			if inner(name, info) {
				p.print(name + "\n")
			}
			return true
		}
	}
	for _, root := range roots {
		info, err := p.stat(root, false)
		if err != nil {
			f.status = p.fail(err)
			continue
		}
		f.walk(root, info, 0, match)
	}
	for _, run := range f.last {
		run()
	}
	return f.status
}

// finder parses the expression of a find and walks trees with it.
type finder struct {
	p                  *Proc
	args               []string
	minDepth, maxDepth int
	acts, depthFirst   bool
	pruned             bool
	status             int
	last               []func() // what -exec + runs at the end
}

func (f *finder) walk(name string, info memfs.Info, depth int, match test) {
	f.p.check()
	f.pruned = false
	if !f.depthFirst && depth >= f.minDepth {
		match(name, info)
	}
	if info.Mode.IsDir() && !f.pruned && depth < f.maxDepth {
		entries, err := f.p.FS.ReadDir(f.p.User, f.p.abs(name))
		if err != nil {
			f.status = f.p.fail(named(err, name))
		}
		for _, e := range entries {
			f.walk(join(name, e.Name), e, depth+1, match)
		}
	}
	if f.depthFirst && depth >= f.minDepth {
		match(name, info)
	}
}

func (f *finder) next() string {
	if len(f.args) == 0 {
		return ""
	}
	a := f.args[0]
	f.args = f.args[1:]
	return a
}

func (f *finder) or() (test, error) {
	left, err := f.and()
	for err == nil && len(f.args) > 0 && (f.args[0] == "-o" || f.args[0] == "-or") {
		f.next()
		var right test
		a := left
		right, err = f.and()
		left = func(n string, i memfs.Info) bool { return a(n, i) || right(n, i) }
	}
	return left, err
}

func (f *finder) and() (test, error) {
	all := func(string, memfs.Info) bool { return true }
	for len(f.args) > 0 && f.args[0] != "-o" && f.args[0] != "-or" && f.args[0] != ")" {
		right, err := f.primary()
		if err != nil {
			return nil, err
		}
		left := all
		all = func(n string, i memfs.Info) bool { return left(n, i) && right(n, i) }
	}
	return all, nil
}

func always(string, memfs.Info) bool { return true }

func (f *finder) primary() (test, error) {
	switch word := f.next(); word {
	case "!", "-not":
		t, err := f.primary()
		return func(n string, i memfs.Info) bool { return !t(n, i) }, err
	case "(":
		t, err := f.or()
		if err == nil && f.next() != ")" {
			err = fmt.Errorf("missing ')'")
		}
		return t, err
	case "-a", "-and", "-true":
		return always, nil
	case "-name", "-iname", "-path", "-wholename":
		return f.glob(word, f.next())
	case "-type":
		kind := f.next()
		return func(_ string, i memfs.Info) bool { return unixMode(i.Mode)[:1] == strings.Replace(kind, "f", "-", 1) }, nil
	case "-maxdepth", "-mindepth":
		n, err := strconv.Atoi(f.next())
		if word == "-maxdepth" {
			f.maxDepth = n
		} else {
			f.minDepth = n
		}
		return always, err
	case "-depth":
		f.depthFirst = true
		return always, nil
	case "-empty":
		return func(name string, i memfs.Info) bool {
			if !i.Mode.IsDir() {
				return i.Size == 0
			}
			entries, err := f.p.FS.ReadDir(f.p.User, f.p.abs(name))
			return err == nil && len(entries) == 0
		}, nil
	case "-size", "-mtime", "-mmin":
		return f.compare(word, f.next())
	case "-newer":
		other, err := f.p.stat(f.next(), true)
		return func(_ string, i memfs.Info) bool { return i.ModTime.After(other.ModTime) }, err
	case "-perm":
		perm, err := strconv.ParseUint(strings.TrimLeft(f.next(), "-/"), 8, 12)
		return func(_ string, i memfs.Info) bool { return uint64(i.Mode.Perm())&perm == perm }, err
	case "-print", "-print0":
		end := map[string]string{"-print": "\n", "-print0": "\x00"}[word]
		f.acts = true
		return func(n string, _ memfs.Info) bool { f.p.print(n + end); return true }, nil
	case "-prune":
		return func(string, memfs.Info) bool { f.pruned = true; return true }, nil
	case "-delete":
		f.acts, f.depthFirst = true, true
		return func(n string, _ memfs.Info) bool {
			if err := f.p.FS.Remove(f.p.User, f.p.abs(n)); err != nil {
				f.status = f.p.fail(named(err, n))
				return false
			}
			return true
		}, nil
	case "-exec":
		return f.exec()
	default:
		return nil, fmt.Errorf("unknown predicate '%s'", word)
	}
}
