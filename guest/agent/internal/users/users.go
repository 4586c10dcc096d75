// Package users finds accounts of the guest in /etc/passwd. Images come without an account for the sandbox's ordinary user
// more often than not, so the one of the boot configuration is known without a line there.
package users

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Passwd is where accounts are written down.
const Passwd = "/etc/passwd"

// maxPasswd bounds how much of a file that the guest may have written is read.
const maxPasswd = 1 << 20

// Lookup finds the account that spec names: a name, uid or uid:gid. Empty means ordinary. The account of the boot
// configuration is stronger than a line of the file.
func Lookup(passwd, spec string, ordinary boot.User) (boot.User, error) {
	if spec == "" || spec == ordinary.Name {
		return ordinary, nil
	}
	name, group, withGroup := strings.Cut(spec, ":")
	uid, numeric, err := number(name)
	if err != nil {
		return boot.User{}, err
	}
	if withGroup && !numeric {
		return boot.User{}, errdef.New(errdef.ErrInvalid, "user %q: only a numeric user id may be followed by a group id", spec)
	}
	user, found := ordinary, numeric && uid == ordinary.UID
	if !found {
		user, found = search(passwd, func(u boot.User) bool { return u.Name == name || numeric && u.UID == uid })
	}
	if name == "root" && !found {
		user, found = boot.User{Name: "root", Home: "/root"}, true
	}
	if !found && !numeric {
		return boot.User{}, errdef.New(errdef.ErrInvalid, "user %q: %s has no such name", spec, passwd)
	}
	if !found {
		user = boot.User{UID: uid, GID: uid, Name: name, Home: "/"}
	}
	if !withGroup {
		return user, nil
	}
	gid, numeric, err := number(group)
	if err != nil || !numeric {
		return boot.User{}, errdef.New(errdef.ErrInvalid, "user %q: %q is not a group id", spec, group)
	}
	user.GID = gid
	return user, nil
}

// number reads an id. All bits set is no id: chown and setuid take it for "unchanged".
func number(s string) (id uint32, numeric bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, false, errdef.New(errdef.ErrInvalid, "%q is not a user or group id", s)
	}
	return uint32(n), true, nil
}

// search returns the first account of the file that match accepts. Lines that make no sense are passed over, as libc does.
func search(passwd string, match func(boot.User) bool) (boot.User, bool) {
	f, err := os.Open(passwd)
	if err != nil {
		return boot.User{}, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(io.LimitReader(f, maxPasswd)); lines.Scan(); {
		if u, ok := parse(lines.Text()); ok && match(u) {
			return u, true
		}
	}
	return boot.User{}, false
}

// parse reads "name:password:uid:gid:comment:home:shell".
func parse(line string) (boot.User, bool) {
	fields := strings.Split(line, ":")
	if len(fields) < 6 || fields[0] == "" || strings.HasPrefix(fields[0], "#") {
		return boot.User{}, false
	}
	uid, ok1, err1 := number(fields[2])
	gid, ok2, err2 := number(fields[3])
	if !ok1 || !ok2 || err1 != nil || err2 != nil {
		return boot.User{}, false
	}
	home := fields[5]
	if home == "" {
		home = "/"
	}
	return boot.User{UID: uid, GID: gid, Name: fields[0], Home: home}, true
}
