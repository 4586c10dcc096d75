package programs

import (
	"cmp"
	"fmt"
	"io/fs"
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
		uid, gid := p.userName(e.UID), p.users().GroupName(e.GID)
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
			"%A", unixMode(info.Mode), "%u", strconv.Itoa(int(info.UID)), "%g", strconv.Itoa(int(info.GID)), "%U", p.userName(info.UID),
			"%G", p.users().GroupName(info.GID), "%F", kind, "%Y", strconv.FormatInt(info.ModTime.Unix(), 10), "%y", info.ModTime.UTC().Format(time.DateTime),
			"%i", strconv.FormatUint(info.Inode, 10), "%h", strconv.Itoa(info.Links), "%%", "%",
		).Replace(format) + "\n")
	}
	return status
}
