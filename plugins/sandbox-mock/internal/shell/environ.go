package shell

import (
	"strconv"

	"mvdan.cc/sh/v3/expand"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/accounts"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
)

// nowhere is a path below which nothing can exist on any host, since /dev/null is no directory. The interpreter is sent there
// where it would look at the host's files by itself.
const nowhere = "/dev/null/none"

// environ is what the interpreter reads its first variables from, and those that it would otherwise ask the host for.
type environ struct {
	vars    map[string]string // exported
	hidden  map[string]string // not exported
	started bool              // false while the interpreter sets itself up
}

func newEnviron(p *programs.Proc, process *Process) *environ {
	account, _ := accounts.Read(p.FS).ByID(p.User.UID)
	return &environ{vars: p.Env, hidden: map[string]string{
		"HOME": account.Home, "HOSTNAME": p.Sys.Machine().Hostname,
		"UID": strconv.Itoa(int(p.User.UID)), "EUID": strconv.Itoa(int(p.User.UID)), "GID": strconv.Itoa(int(p.User.GID)),
		varPID: strconv.Itoa(process.PID), varPPID: strconv.Itoa(process.PPID), varLast: "", varOwn: "", varOnce: "",
		varLimits: written(p.Limits),
	}}
}

func text(s string, exported bool) expand.Variable {
	return expand.Variable{Set: true, Exported: exported, Kind: expand.String, Str: s}
}

// Get implements expand.Environ.
func (e *environ) Get(name string) expand.Variable {
	if name == "TMPDIR" && !e.started {
		return text(nowhere, false)
	}
	if v, ok := e.vars[name]; ok {
		return text(v, true)
	}
	if v, ok := e.hidden[name]; ok {
		return text(v, false)
	}
	return expand.Variable{}
}

// Each implements expand.Environ. Background subshells copy what it yields, and ask for nothing else.
func (e *environ) Each(yield func(name string, v expand.Variable) bool) {
	for name, v := range e.hidden {
		if !yield(name, text(v, false)) {
			return
		}
	}
	for name, v := range e.vars {
		if !yield(name, text(v, true)) {
			return
		}
	}
}

// exported returns the environment that a program gets.
func exported(env expand.Environ) map[string]string {
	vars := map[string]string{}
	env.Each(func(name string, v expand.Variable) bool {
		if v.IsSet() && v.Exported && v.Kind == expand.String {
			vars[name] = v.Str
		} else {
			delete(vars, name)
		}
		return true
	})
	return vars
}
