package programs

import (
	"fmt"
	"strings"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

// ownership is what chown is asked for. A part that is not set stays as it is.
type ownership struct {
	uid, gid       uint32
	setUID, setGID bool
}

// ownership reads user, user:group or :group, each a name or a number.
func (p *Proc) ownership(spec string) (ownership, error) {
	var want ownership
	user, group, withGroup := strings.Cut(spec, ":")
	if user != "" {
		if want.uid, want.setUID = p.users().UserID(user); !want.setUID {
			return want, fmt.Errorf("invalid user: '%s'", spec)
		}
	}
	if withGroup && group != "" {
		return p.withGroup(want, group)
	}
	if withGroup && user != "" {
		account, _ := p.users().ByID(want.uid)
		want.gid, want.setGID = account.GID, true
	}
	return want, nil
}

func (p *Proc) withGroup(want ownership, group string) (ownership, error) {
	if want.gid, want.setGID = p.users().Group(group); !want.setGID {
		return want, fmt.Errorf("invalid group: '%s'", group)
	}
	return want, nil
}

func chown(p *Proc) int { return changeOwner(p, p.ownership) }

func chgrp(p *Proc) int {
	return changeOwner(p, func(group string) (ownership, error) { return p.withGroup(ownership{}, group) })
}

func changeOwner(p *Proc, read func(spec string) (ownership, error)) int {
	o, ok := p.parse("Rhvcf", map[string]string{"recursive": "R", "no-dereference": "h"})
	if !ok {
		return 1
	}
	if len(o.rest) < 2 {
		p.errorf("expects an owner and files")
		return 1
	}
	want, err := read(o.rest[0])
	if err != nil {
		return p.fail(err)
	}
	status := 0
	for _, name := range o.rest[1:] {
		if !p.give(name, want, !o.has("h"), o.has("R")) {
			status = 1
		}
	}
	return status
}

// give changes the owner of a file, and with recursive of what is below. Links below are not followed.
func (p *Proc) give(name string, want ownership, follow, recursive bool) bool {
	p.check()
	info, err := p.stat(name, follow)
	if err == nil {
		err = p.FS.Chown(p.User, p.abs(name), or(want.setUID, want.uid, info.UID), or(want.setGID, want.gid, info.GID), follow)
	}
	if err != nil {
		p.fail(named(err, name))
		return false
	}
	if !recursive || !info.Mode.IsDir() {
		return true
	}
	var entries []memfs.Info
	if entries, err = p.FS.ReadDir(p.User, p.abs(name)); err != nil {
		p.fail(named(err, name))
		return false
	}
	done := true
	for _, e := range entries {
		done = p.give(join(name, e.Name), want, false, true) && done
	}
	return done
}

func or(set bool, value, fallback uint32) uint32 {
	if set {
		return value
	}
	return fallback
}
