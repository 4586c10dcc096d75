package programs

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

var files = map[string]func(*Proc) int{
	"ls": ls, "cp": cp, "mv": mv, "rm": rm, "mkdir": mkdir, "rmdir": rmdir, "touch": touch, "ln": ln, "chmod": chmod,
	"readlink": readlink, "realpath": realpath, "stat": stat, "du": du, "mktemp": mktemp, "mkfifo": mkfifo, "dd": dd,
	"find": find, "truncate": truncate, "sync": func(*Proc) int { return 0 },
}

func (p *Proc) stat(name string, follow bool) (memfs.Info, error) {
	if name == "" {
		return memfs.Info{}, &fs.PathError{Op: "stat", Path: name, Err: syscall.ENOENT}
	}
	info, err := p.FS.Stat(p.User, p.abs(name), follow)
	return info, named(err, name)
}

// unixMode is a mode as ls shows it.
func unixMode(m fs.FileMode) string {
	kind := byte('-')
	switch m.Type() {
	case fs.ModeDir:
		kind = 'd'
	case fs.ModeSymlink:
		kind = 'l'
	case fs.ModeNamedPipe:
		kind = 'p'
	case fs.ModeDevice | fs.ModeCharDevice:
		kind = 'c'
	}
	text := []byte(m.Perm().String())
	text[0] = kind
	if m&fs.ModeSticky != 0 {
		text[9] = 't'
	}
	return string(text)
}

func owner(p *Proc, id uint32) string {
	switch id {
	case 0:
		return "root"
	case p.User.UID:
		return p.Sys.Machine().User
	}
	return strconv.Itoa(int(id))
}

// join joins a name below a directory as the user wrote it.
func join(dir, name string) string { return strings.TrimSuffix(dir, "/") + "/" + name }

// into returns where a source lands: below the target when that is a directory.
func (p *Proc) into(source, target string) string {
	if info, err := p.stat(target, true); err == nil && info.Mode.IsDir() {
		return join(target, path.Base(source))
	}
	return target
}

func cp(p *Proc) int {
	o, ok := p.parse("rRafpvdT", map[string]string{"recursive": "r", "force": "f"})
	if !ok || len(o.rest) < 2 {
		p.errorf("expects sources and a target")
		return 1
	}
	target, status := o.rest[len(o.rest)-1], 0
	for _, source := range o.rest[:len(o.rest)-1] {
		if err := p.copyTree(source, p.into(source, target), o.has("rRa")); err != nil {
			status = p.fail(err)
		}
	}
	return status
}

func (p *Proc) copyTree(source, target string, recursive bool) error {
	p.check()
	info, err := p.stat(source, !recursive)
	if err != nil {
		return err
	}
	switch {
	case info.Mode.Type() == fs.ModeSymlink:
		return p.FS.Symlink(p.User, info.Target, p.abs(target))
	case info.Mode.IsDir() && !recursive:
		return fmt.Errorf("-r not specified; omitting directory '%s'", source)
	case info.Mode.IsDir():
		if strings.HasPrefix(path.Clean(p.abs(target))+"/", path.Clean(p.abs(source))+"/") {
			return fmt.Errorf("cannot copy a directory, '%s', into itself, '%s'", source, target)
		}
		if _, err := p.stat(target, true); err != nil {
			if err := p.FS.Mkdir(p.User, p.abs(target), info.Mode.Perm()); err != nil {
				return named(err, target)
			}
		}
		entries, err := p.FS.ReadDir(p.User, p.abs(source))
		if err != nil {
			return named(err, source)
		}
		for _, e := range entries {
			if err := p.copyTree(join(source, e.Name), join(target, e.Name), true); err != nil {
				return err
			}
		}
		return nil
	}
	return p.copyFile(source, target, info)
}

func (p *Proc) copyFile(source, target string, info memfs.Info) error {
	if old, err := p.stat(target, true); err == nil && old.Inode == info.Inode {
		return fmt.Errorf("'%s' and '%s' are the same file", source, target)
	}
	in, err := p.open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	_, statErr := p.stat(target, true)
	out, err := p.create(target, false)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return named(err, target)
	}
	if statErr != nil {
		return p.FS.Chmod(p.User, p.abs(target), info.Mode.Perm())
	}
	return nil
}

func mv(p *Proc) int {
	o, ok := p.parse("fnvT", nil)
	if !ok || len(o.rest) < 2 {
		p.errorf("expects sources and a target")
		return 1
	}
	target, status := o.rest[len(o.rest)-1], 0
	for _, source := range o.rest[:len(o.rest)-1] {
		to := p.into(source, target)
		if _, err := p.stat(to, false); err == nil && o.has("n") {
			continue
		}
		if err := p.FS.Rename(p.User, p.abs(source), p.abs(to)); err != nil {
			status = p.fail(named(err, source))
		}
	}
	return status
}

func rm(p *Proc) int {
	o, ok := p.parse("rRfvid", map[string]string{"recursive": "r", "force": "f"})
	if !ok {
		return 1
	}
	status := 0
	for _, name := range o.rest {
		info, err := p.stat(name, false)
		switch {
		case err != nil && o.has("f"):
			continue
		case err != nil:
		case path.Clean(p.abs(name)) == "/":
			err = fmt.Errorf("it is dangerous to operate recursively on '/'")
		case info.Mode.IsDir() && o.has("rR"):
			err = p.FS.RemoveAll(p.User, p.abs(name))
		case info.Mode.IsDir() && !o.has("d"):
			err = &fs.PathError{Op: "remove", Path: name, Err: syscall.EISDIR}
		default:
			err = p.FS.Remove(p.User, p.abs(name))
		}
		if err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func mkdir(p *Proc) int {
	o, ok := p.parse("pm:v", map[string]string{"parents": "p", "mode": "m"})
	if !ok {
		return 1
	}
	perm, err := strconv.ParseUint(o.get("m", "755"), 8, 12)
	if err != nil {
		return p.fail(err)
	}
	status := 0
	for _, name := range o.rest {
		make := p.FS.Mkdir
		if o.has("p") {
			make = p.FS.MkdirAll
		}
		if err := make(p.User, p.abs(name), fs.FileMode(perm)); err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func rmdir(p *Proc) int {
	status := 0
	for _, name := range p.Args[1:] {
		info, err := p.stat(name, false)
		if err == nil && !info.Mode.IsDir() {
			err = &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTDIR}
		}
		if err == nil {
			err = p.FS.Remove(p.User, p.abs(name))
		}
		if err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func touch(p *Proc) int {
	o, ok := p.parse("camd:t:r:", nil)
	if !ok {
		return 1
	}
	status := 0
	for _, name := range o.rest {
		err := p.FS.Chtimes(p.User, p.abs(name), time.Now())
		if err != nil && !o.has("c") {
			var f *memfs.File
			if f, err = p.create(name, true); err == nil {
				f.Close()
			}
		}
		if err != nil && !o.has("c") {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func ln(p *Proc) int {
	o, ok := p.parse("sfnvT", nil)
	if !ok || len(o.rest) < 1 || len(o.rest) > 2 {
		p.errorf("expects a target and a name")
		return 1
	}
	target, name := o.rest[0], path.Base(o.rest[0])
	if len(o.rest) == 2 {
		name = o.rest[1]
		if !o.has("nT") {
			name = p.into(target, name)
		}
	}
	if o.has("f") {
		_ = p.FS.Remove(p.User, p.abs(name)) // making the link tells what is wrong
	}
	var err error
	if o.has("s") {
		err = p.FS.Symlink(p.User, target, p.abs(name))
	} else {
		err = p.FS.Link(p.User, p.abs(target), p.abs(name))
	}
	if err != nil {
		return p.fail(named(err, name))
	}
	return 0
}

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

func readlink(p *Proc) int {
	o, ok := p.parse("fen", nil)
	if !ok {
		return 1
	}
	if o.has("fe") {
		p.Args = append([]string{p.Args[0]}, o.rest...)
		return realpath(p)
	}
	status := 0
	for _, name := range o.rest {
		info, err := p.stat(name, false)
		if err != nil || info.Target == "" {
			status = 1
			continue
		}
		p.print(info.Target + "\n")
	}
	return status
}

func realpath(p *Proc) int {
	status := 0
	for _, name := range p.Args[1:] {
		real, err := p.resolve(p.abs(name), 0)
		if err != nil {
			status = p.fail(named(err, name))
			continue
		}
		p.print(real + "\n")
	}
	return status
}

// resolve follows every link. Only the last element may be missing.
func (p *Proc) resolve(name string, links int) (string, error) {
	real, parts := "/", strings.Split(name, "/")
	for i, part := range parts {
		switch part {
		case "", ".":
			continue
		case "..":
			real = path.Dir(real)
			continue
		}
		info, err := p.FS.Stat(p.User, join(real, part), false)
		if err != nil && i < len(parts)-1 {
			return "", err
		}
		if err != nil || info.Target == "" {
			real = join(real, part)
			continue
		}
		if links++; links > 40 {
			return "", &fs.PathError{Op: "stat", Path: name, Err: syscall.ELOOP}
		}
		target := info.Target
		if !path.IsAbs(target) {
			target = join(real, target)
		}
		return p.resolve(strings.Join(append([]string{target}, parts[i+1:]...), "/"), links)
	}
	return real, nil
}

func du(p *Proc) int {
	o, ok := p.parse("shakbcd:", nil)
	if !ok {
		return 1
	}
	names := o.rest
	if len(names) == 0 {
		names = []string{"."}
	}
	status := 0
	for _, name := range names {
		if _, err := p.duTree(name, o, true); err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func (p *Proc) duTree(name string, o *options, top bool) (int64, error) {
	p.check()
	info, err := p.stat(name, false)
	if err != nil {
		return 0, err
	}
	total := info.Size
	if info.Mode.IsDir() {
		entries, err := p.FS.ReadDir(p.User, p.abs(name))
		if err != nil {
			return 0, err
		}
		for _, e := range entries {
			n, err := p.duTree(join(name, e.Name), o, false)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	if top || (info.Mode.IsDir() || o.has("a")) && !o.has("s") {
		size := strconv.FormatInt((total+1023)/1024, 10)
		switch {
		case o.has("b"):
			size = strconv.FormatInt(total, 10)
		case o.has("h"):
			size = human(total)
		}
		p.printf("%s\t%s\n", size, name)
	}
	return total, nil
}

func human(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	f := float64(n)
	for _, unit := range "KMGT" {
		if f /= 1024; f < 1024 {
			return fmt.Sprintf("%.1f%c", f, unit)
		}
	}
	return fmt.Sprintf("%.1fP", f/1024)
}

func mktemp(p *Proc) int {
	o, ok := p.parse("dp:tuq", nil)
	if !ok {
		return 1
	}
	template := "tmp.XXXXXX"
	dir := o.get("p", "")
	if len(o.rest) > 0 {
		template = o.rest[0]
	} else if dir == "" {
		dir = "/tmp"
		if t := p.Env["TMPDIR"]; t != "" {
			dir = t
		}
	}
	if o.has("t") && dir == "" {
		dir = "/tmp"
	}
	stem := strings.TrimRight(template, "X")
	if dir != "" {
		stem = join(dir, stem)
	}
	for range 100 {
		const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		name := stem
		for range max(6, len(template)-len(strings.TrimRight(template, "X"))) {
			name += string(letters[rand.IntN(len(letters))])
		}
		if _, err := p.stat(name, false); err == nil {
			continue
		}
		var err error
		switch {
		case o.has("u"):
		case o.has("d"):
			err = p.FS.Mkdir(p.User, p.abs(name), 0o700)
		default:
			err = p.FS.WriteFile(p.User, p.abs(name), nil, 0o600)
		}
		if err != nil {
			return p.fail(named(err, name))
		}
		p.print(name + "\n")
		return 0
	}
	p.errorf("no free name")
	return 1
}

func mkfifo(p *Proc) int {
	status := 0
	for _, name := range p.Args[1:] {
		if err := p.FS.Mkfifo(p.User, p.abs(name), 0o644); err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

func truncate(p *Proc) int {
	o, ok := p.parse("s:c", map[string]string{"size": "s"})
	size, valid := number(o.get("s", ""))
	if !ok || !valid || size < 0 {
		p.errorf("expects -s and a size")
		return 1
	}
	for _, name := range o.rest {
		f, err := p.create(name, true)
		if err == nil {
			err = f.Truncate(size)
			f.Close()
		}
		if err != nil {
			return p.fail(named(err, name))
		}
	}
	return 0
}

// dd copies blocks: if, of, bs, count, skip and seek are known.
func dd(p *Proc) int {
	v := map[string]string{"bs": "512", "count": "-1", "skip": "0", "seek": "0", "if": "-"}
	for _, a := range p.Args[1:] {
		key, value, _ := strings.Cut(a, "=")
		v[key] = value
	}
	n := map[string]int64{}
	for _, key := range []string{"bs", "count", "skip", "seek"} {
		var ok bool
		if n[key], ok = number(v[key]); !ok {
			p.errorf("invalid number: '%s'", v[key])
			return 1
		}
	}
	if n["bs"] <= 0 || n["bs"] > 16<<20 {
		p.errorf("block size must be 1 to 16M")
		return 1
	}
	in, err := p.open(v["if"])
	if err != nil {
		return p.fail(err)
	}
	defer in.Close()
	out := p.out()
	if v["of"] != "" {
		f, err := p.create(v["of"], false)
		if err != nil {
			return p.fail(err)
		}
		defer f.Close()
		if _, err := f.Seek(n["seek"]*n["bs"], io.SeekStart); err != nil {
			return p.fail(err)
		}
		out = f
	}
	if _, err := io.CopyN(io.Discard, in, n["skip"]*n["bs"]); err != nil && err != io.EOF {
		return p.fail(err)
	}
	var copied int64
	if n["count"] < 0 {
		copied, err = io.Copy(out, in)
	} else {
		copied, err = io.CopyN(out, in, n["count"]*n["bs"])
	}
	if err != nil && err != io.EOF {
		return p.fail(named(err, v["of"]))
	}
	if v["status"] != "none" {
		full, part := copied/n["bs"], min(copied%n["bs"], 1)
		fmt.Fprintf(p.Stderr, "%d+%d records in\n%d+%d records out\n%d bytes copied\n", full, part, full, part, copied)
	}
	return 0
}
