package command

import (
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// lookPath finds a program as execvp does: one without a slash in the directories of PATH, passing over those that the
// account may not run. A relative directory of PATH counts from dir.
func lookPath(program, pathEnv, dir string, user boot.User) (string, error) {
	if strings.Contains(program, "/") {
		return absolute(program, dir), nil
	}
	refused := ""
	for _, candidate := range candidates(program, pathEnv, dir) {
		info, err := os.Stat(candidate)
		if err != nil || info.IsDir() {
			continue
		}
		if mayRun(info, user) {
			return candidate, nil
		}
		refused = candidate
	}
	if refused != "" {
		return "", errdef.New(errdef.ErrPermission, "%s may not be run by %s", refused, user.Name)
	}
	return "", errdef.New(errdef.ErrNotFound, "%s: no such program in PATH (%s)", program, pathEnv)
}

func candidates(program, pathEnv, dir string) []string {
	var list []string
	for _, d := range strings.Split(pathEnv, ":") {
		if d == "" {
			d = "."
		}
		list = append(list, path.Join(absolute(d, dir), program))
	}
	return list
}

func absolute(p, dir string) string {
	if path.IsAbs(p) {
		return p
	}
	return path.Join(dir, p)
}

// mayRun looks at the permission bits that apply to the account.
func mayRun(info os.FileInfo, user boot.User) bool {
	mode := info.Mode().Perm()
	stat := info.Sys().(*syscall.Stat_t)
	switch {
	case user.UID == 0:
		return mode&0o111 != 0
	case user.UID == stat.Uid:
		return mode&0o100 != 0
	case user.GID == stat.Gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// admit holds a command against the allow-list.
func (r *Runner) admit(p *plan) error {
	if len(r.Commands) == 0 {
		return nil
	}
	program := path.Clean(p.spec.Path)
	for _, rule := range r.Commands {
		if r.matches(string(rule), program) {
			return nil
		}
	}
	return errdef.New(errdef.ErrPermission, "%s is not on the sandbox's list of allowed commands", program).
		WithReason("command_not_allowed").
		WithRemedy("add it to the sandbox's allowed commands")
}

// matches applies one rule; see boot.CommandRule. A bare name is looked for in the sandbox's own PATH: were it the call's, a
// file of that name anywhere would do.
func (r *Runner) matches(rule, program string) bool {
	switch {
	case !strings.Contains(rule, "/"):
		pathEnv, set := r.Env["PATH"]
		if !set {
			pathEnv = DefaultPath
		}
		for _, candidate := range candidates(rule, pathEnv, "/") {
			if candidate == program {
				return true
			}
		}
		return false
	case strings.HasSuffix(rule, "/"):
		return path.Dir(program) == strings.TrimSuffix(rule, "/")
	}
	return rule == program
}
