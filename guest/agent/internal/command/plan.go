package command

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/cgroup"
	"github.com/voidbox-run/voidbox/guest/agent/internal/errno"
	"github.com/voidbox-run/voidbox/guest/agent/internal/proc"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// DefaultPath is PATH where nobody sets one.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// plan is a command as it will be started.
type plan struct {
	spec    proc.Spec
	user    boot.User
	bounds  cgroup.Bounds
	timeout time.Duration
	pty     *sandbox.Pty
}

func (r *Runner) plan(cmd sandbox.Command) (*plan, error) {
	if err := check(cmd); err != nil {
		return nil, err
	}
	user, err := r.Lookup(cmd.User)
	if err != nil {
		return nil, err
	}
	dir, err := r.dir(cmd.Dir, user)
	if err != nil {
		return nil, err
	}
	env := r.env(cmd, user)
	program, err := lookPath(cmd.Args[0], env["PATH"], dir, user)
	if err != nil {
		return nil, err
	}
	p := &plan{user: user, timeout: cmd.Timeout, pty: cmd.Pty}
	p.spec = proc.Spec{
		Path:       program,
		Args:       cmd.Args,
		Env:        flatten(env),
		Dir:        dir,
		Terminal:   cmd.Pty != nil,
		Credential: credentials(user),
		CgroupFD:   -1,
	}
	p.limit(r, cmd.Limits)
	return p, nil
}

func check(cmd sandbox.Command) error {
	if len(cmd.Args) == 0 || cmd.Args[0] == "" {
		return errdef.New(errdef.ErrInvalid, "the command names no program")
	}
	for _, arg := range cmd.Args {
		if strings.ContainsRune(arg, 0) {
			return errdef.New(errdef.ErrInvalid, "an argument holds a zero byte")
		}
	}
	for name, value := range cmd.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return errdef.New(errdef.ErrInvalid, "%q is not a variable of an environment", name)
		}
	}
	if cmd.Dir != "" && !path.IsAbs(cmd.Dir) || strings.ContainsRune(cmd.Dir, 0) {
		return errdef.New(errdef.ErrInvalid, "working directory %q is not an absolute path", cmd.Dir)
	}
	if cmd.Timeout < 0 || cmd.Limits.CPUTime < 0 {
		return errdef.New(errdef.ErrInvalid, "a time limit is negative")
	}
	return nil
}

// credentials clears the supplementary groups. An agent that is not root runs everything as itself.
func credentials(user boot.User) *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: user.UID, Gid: user.GID}
}

func (r *Runner) dir(wanted string, user boot.User) (string, error) {
	if wanted == "" {
		wanted = r.Dir
	}
	if wanted == "" {
		return home(user), nil
	}
	if err := isDir(wanted); err != nil {
		return "", errno.Wrap(fmt.Errorf("working directory: %w", err))
	}
	return wanted, nil
}

// WorkingDir is where commands of the ordinary user run that name no directory.
func (r *Runner) WorkingDir() string {
	if r.Dir != "" {
		return r.Dir
	}
	return home(r.User)
}

func home(user boot.User) string {
	if isDir(user.Home) != nil {
		return "/"
	}
	return user.Home
}

func isDir(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = &os.PathError{Op: "chdir", Path: dir, Err: syscall.ENOTDIR}
	}
	return err
}

// env merges the environment: what the account gives, then the sandbox's, then the command's own.
func (r *Runner) env(cmd sandbox.Command, user boot.User) map[string]string {
	env := map[string]string{"PATH": DefaultPath, "HOME": user.Home, "USER": user.Name, "LOGNAME": user.Name}
	for _, layer := range []map[string]string{r.Env, terminalEnv(cmd.Pty), cmd.Env} {
		for name, value := range layer {
			env[name] = value
		}
	}
	return env
}

func terminalEnv(pty *sandbox.Pty) map[string]string {
	switch {
	case pty == nil:
		return nil
	case pty.Term == "":
		return map[string]string{"TERM": "xterm-256color"}
	}
	return map[string]string{"TERM": pty.Term}
}

func flatten(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// limit spreads the limits over cgroup and rlimits. Where a controller is missing, the nearest rlimit stands in: address
// space for memory, processes of the account for processes.
func (p *plan) limit(r *Runner, own sandbox.Limits) {
	memory := either(own.MemoryBytes, r.Limits.MemoryBytes)
	processes := either(own.Processes, r.Limits.Processes)
	cpu := either(own.CPUTime, r.Limits.CPUTime)
	if r.Tree != nil && r.Tree.Has("memory") {
		p.bounds.MemoryBytes, memory = memory, 0
	}
	if r.Tree != nil && r.Tree.Has("pids") {
		p.bounds.Processes, processes = processes, 0
	}
	p.rlimit(unix.RLIMIT_AS, memory, 0)
	p.rlimit(unix.RLIMIT_NPROC, processes, 0)
	p.rlimit(unix.RLIMIT_NOFILE, either(own.OpenFiles, r.Limits.OpenFiles), 0)
	p.rlimit(unix.RLIMIT_FSIZE, either(own.FileSizeBytes, r.Limits.FileSizeBytes), 0)
	// A second between SIGXCPU and SIGKILL.
	p.rlimit(unix.RLIMIT_CPU, uint64((cpu+time.Second-1)/time.Second), 1)
}

func (p *plan) rlimit(resource int, value, slack uint64) {
	if value > 0 {
		p.spec.Limits = append(p.spec.Limits, proc.Limit{Resource: resource, Soft: value, Hard: value + slack})
	}
}

func either[T uint64 | time.Duration](own, general T) T {
	if own != 0 {
		return own
	}
	return general
}

// explain says what a failed start was about. The kernel's ENOENT means the program, the interpreter in its first line, or
// the dynamic loader.
func (p *plan) explain(err error) error {
	if errors.Is(err, syscall.ENOENT) {
		if _, missing := os.Stat(p.spec.Path); missing == nil {
			return errdef.New(errdef.ErrNotFound, "run %s: the interpreter or loader that it names does not exist", p.spec.Path)
		}
	}
	return errno.Wrap(fmt.Errorf("run %s as %s in %s: %w", p.spec.Path, p.user.Name, p.spec.Dir, err))
}
