package programs

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

func ls(p *Proc) int {
	o, ok := p.parse("laA1dhrtRSFinog", map[string]string{"all": "a", "color": "K", "recursive": "R"})
	if !ok {
		return 2
	}
	names := o.rest
	if len(names) == 0 {
		names = []string{"."}
	}
	status := 0
	var plain []memfs.Info
	var dirs []string
	for _, name := range names {
		info, err := p.stat(name, !o.has("ld"))
		if err == nil && info.Target != "" && !o.has("d") {
			if to, followErr := p.stat(name, true); followErr == nil && to.Mode.IsDir() && !o.has("l") {
				info = to
			}
		}
		switch {
		case err != nil:
			p.fail(named(err, name))
			status = 2
		case info.Mode.IsDir() && !o.has("d"):
			dirs = append(dirs, name)
		default:
			info.Name = name
			plain = append(plain, info)
		}
	}
	p.listEntries(plain, o)
	for i, name := range dirs {
		if len(names) > 1 || o.has("R") {
			if i > 0 || len(plain) > 0 {
				p.print("\n")
			}
			p.print(name + ":\n")
		}
		if err := p.listDir(name, o); err != nil {
			p.fail(named(err, name))
			status = 2
		}
	}
	return status
}

func (p *Proc) listDir(name string, o *options) error {
	entries, err := p.FS.ReadDir(p.User, p.abs(name))
	if err != nil {
		return err
	}
	if !o.has("aA") {
		entries = slices.DeleteFunc(entries, func(e memfs.Info) bool { return e.Name[0] == '.' })
	}
	if o.has("a") {
		self, _ := p.stat(name, true)
		parent, _ := p.stat(join(name, ".."), true)
		self.Name, parent.Name = ".", ".."
		entries = append([]memfs.Info{self, parent}, entries...)
	}
	if o.has("l") {
		p.printf("total %d\n", len(entries)*4)
	}
	p.listEntries(entries, o)
	if !o.has("R") {
		return nil
	}
	for _, e := range entries {
		if e.Mode.IsDir() && e.Name != "." && e.Name != ".." {
			p.printf("\n%s:\n", join(name, e.Name))
			if err := p.listDir(join(name, e.Name), o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Proc) listEntries(entries []memfs.Info, o *options) {
	switch {
	case o.has("t"):
		slices.SortStableFunc(entries, func(a, b memfs.Info) int { return b.ModTime.Compare(a.ModTime) })
	case o.has("S"):
		slices.SortStableFunc(entries, func(a, b memfs.Info) int { return cmp.Compare(b.Size, a.Size) })
	}
	if o.has("r") {
		slices.Reverse(entries)
	}
	w := p.lines()
	defer w.Flush()
	for _, e := range entries {
		name := e.Name
		switch {
		case o.has("F") && e.Mode.IsDir():
			name += "/"
		case o.has("F") && e.Mode&0o111 != 0 && e.Mode.IsRegular():
			name += "*"
		}
		if o.has("i") {
			fmt.Fprintf(w, "%d ", e.Inode)
		}
		if !o.has("l") {
			fmt.Fprintln(w, name)
			continue
		}
		size := strconv.FormatInt(e.Size, 10)
		if o.has("h") {
			size = human(e.Size)
		}
		uid, gid := owner(p, e.UID), owner(p, e.GID)
		if o.has("n") {
			uid, gid = strconv.Itoa(int(e.UID)), strconv.Itoa(int(e.GID))
		}
		if e.Target != "" {
			name += " -> " + e.Target
		}
		fmt.Fprintf(w, "%s %3d %-8s %-8s %8s %s %s\n", unixMode(e.Mode), e.Links, uid, gid, size, e.ModTime.UTC().Format("Jan _2 15:04"), name)
	}
}

func stat(p *Proc) int {
	o, ok := p.parse("c:Lt", map[string]string{"format": "c", "printf": "c"})
	if !ok {
		return 1
	}
	status := 0
	for _, name := range o.rest {
		info, err := p.stat(name, o.has("L"))
		if err != nil {
			status = p.fail(err)
			continue
		}
		format := o.get("c", "  File: %N\n  Size: %s\tInode: %i\tLinks: %h\nAccess: (%a/%A)  Uid: %u (%U)  Gid: %g (%G)\nModify: %y")
		kind := map[fs.FileMode]string{0: "regular file", fs.ModeDir: "directory", fs.ModeSymlink: "symbolic link", fs.ModeNamedPipe: "fifo"}[info.Mode.Type()]
		if kind == "" {
			kind = "character special file"
		}
		p.print(strings.NewReplacer(
			"%n", name, "%N", "'"+name+"'", "%s", strconv.FormatInt(info.Size, 10), "%a", strconv.FormatUint(uint64(info.Mode.Perm()), 8),
			"%A", unixMode(info.Mode), "%u", strconv.Itoa(int(info.UID)), "%g", strconv.Itoa(int(info.GID)), "%U", owner(p, info.UID),
			"%G", owner(p, info.GID), "%F", kind, "%Y", strconv.FormatInt(info.ModTime.Unix(), 10), "%y", info.ModTime.UTC().Format(time.DateTime),
			"%i", strconv.FormatUint(info.Inode, 10), "%h", strconv.Itoa(info.Links), "%%", "%",
		).Replace(format) + "\n")
	}
	return status
}

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
