package programs

import (
	"strconv"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/accounts"
)

// users are the machine's users and groups, as they were when the program first asked.
func (p *Proc) users() *accounts.Table {
	if p.table == nil {
		p.table = accounts.Read(p.FS)
	}
	return p.table
}

// userName is the name of a user id, or its number.
func (p *Proc) userName(uid uint32) string {
	account, _ := p.users().ByID(uid)
	return account.Name
}

// labelled is an id with its name, when it has one.
func labelled(id uint32, name string) string {
	number := strconv.FormatUint(uint64(id), 10)
	if name == number {
		return number
	}
	return number + "(" + name + ")"
}

func whoami(p *Proc) int {
	account, ok := p.users().ByID(p.User.UID)
	if !ok {
		p.errorf("cannot find name for user ID %d", p.User.UID)
		return 1
	}
	p.print(account.Name + "\n")
	return 0
}

func id(p *Proc) int {
	o, ok := p.parse("ugnGr", map[string]string{"user": "u", "group": "g", "groups": "G", "name": "n"})
	if !ok {
		return 1
	}
	uid, gid := p.User.UID, p.User.GID
	if len(o.rest) > 0 {
		account, ok := p.users().ByName(o.rest[0])
		if !ok {
			p.errorf("'%s': no such user", o.rest[0])
			return 1
		}
		uid, gid = account.UID, account.GID
	}
	user, group := p.userName(uid), p.users().GroupName(gid)
	switch {
	case o.has("u") && o.has("n"):
		p.print(user + "\n")
	case o.has("gG") && o.has("n"):
		p.print(group + "\n")
	case o.has("u"):
		p.printf("%d\n", uid)
	case o.has("gG"):
		p.printf("%d\n", gid)
	default:
		p.printf("uid=%s gid=%s groups=%[2]s\n", labelled(uid, user), labelled(gid, group))
	}
	return 0
}
