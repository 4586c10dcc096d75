package accounts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

// maxFile bounds what is read of one file.
const maxFile = 1 << 20

// Account is a user of the machine.
type Account struct {
	Name     string
	UID, GID uint32
	Home     string
}

// User is the account as the file system knows it.
func (a Account) User() memfs.User { return memfs.User{UID: a.UID, GID: a.GID, Root: a.UID == 0} }

// Table is what the files said when they were read.
type Table struct {
	users  []Account
	groups []group
}

type group struct {
	name string
	gid  uint32
}

// Read reads both files. A file that is missing has no lines.
func Read(fs *memfs.FS) *Table {
	t := &Table{}
	eachLine(fs, "/etc/passwd", 6, func(f []string) {
		uid, isUID := number(f[2])
		gid, isGID := number(f[3])
		if isUID && isGID {
			t.users = append(t.users, Account{Name: f[0], UID: uid, GID: gid, Home: orRoot(f[5])})
		}
	})
	eachLine(fs, "/etc/group", 3, func(f []string) {
		if gid, ok := number(f[2]); ok {
			t.groups = append(t.groups, group{f[0], gid})
		}
	})
	return t
}

func orRoot(home string) string {
	if home == "" {
		return "/"
	}
	return home
}

func eachLine(fs *memfs.FS, name string, fields int, use func(fields []string)) {
	file, err := fs.Open(memfs.User{Root: true}, name, os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer file.Close()
	for lines := bufio.NewScanner(io.LimitReader(file, maxFile)); lines.Scan(); {
		if f := strings.Split(lines.Text(), ":"); len(f) >= fields && f[0] != "" && f[0][0] != '#' {
			use(f)
		}
	}
}

// number reads an id. All bits set is no id: chown(2) takes it for "unchanged".
func number(s string) (uint32, bool) {
	if strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}

// ByName returns the account of a name.
func (t *Table) ByName(name string) (Account, bool) {
	for _, a := range t.users {
		if a.Name == name {
			return a, true
		}
	}
	return Account{}, false
}

// ByID returns the account of a user id. One without a line is named by its number and at home in "/".
func (t *Table) ByID(uid uint32) (Account, bool) {
	for _, a := range t.users {
		if a.UID == uid {
			return a, true
		}
	}
	return Account{Name: text(uid), UID: uid, GID: uid, Home: "/"}, false
}

// GroupName returns the name of a group, its number when it has none.
func (t *Table) GroupName(gid uint32) string {
	for _, g := range t.groups {
		if g.gid == gid {
			return g.name
		}
	}
	return text(gid)
}

// Group reads a group's name or number.
func (t *Table) Group(s string) (uint32, bool) {
	for _, g := range t.groups {
		if g.name == s {
			return g.gid, true
		}
	}
	return number(s)
}

// UserID reads a user's name or number.
func (t *Table) UserID(s string) (uint32, bool) {
	if a, ok := t.ByName(s); ok {
		return a.UID, true
	}
	return number(s)
}

func text(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// Lookup finds the account that spec names: a name, or uid[:gid], which needs no line in the file. ordinary is whom an empty
// spec means; it is stronger than a line of the file.
func (t *Table) Lookup(spec string, ordinary Account) (Account, error) {
	if spec == "" || spec == ordinary.Name {
		return ordinary, nil
	}
	if a, ok := t.ByName(spec); ok {
		return a, nil
	}
	name, groupID, withGroup := strings.Cut(spec, ":")
	uid, ok := number(name)
	if !ok {
		return Account{}, fmt.Errorf("user %q is neither a name in /etc/passwd nor uid[:gid]", spec)
	}
	a, _ := t.ByID(uid)
	if uid == ordinary.UID {
		a = ordinary
	}
	if !withGroup {
		return a, nil
	}
	if a.GID, ok = number(groupID); !ok {
		return Account{}, fmt.Errorf("user %q: %q is not a group id", spec, groupID)
	}
	return a, nil
}
