package shell

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
)

const (
	// own marks the name of a program of ours that stands in for a builtin of the interpreter. No script can spell it.
	own = "\x00"
	// maxFrames bounds recursion of functions, which is recursion of the interpreter: a Go stack that overflows ends the plugin.
	maxFrames = 8000
	// maxGoroutines bounds subshells and pipelines, which are goroutines, over all sandboxes of the plugin.
	maxGoroutines = 20000
)

// call sees every simple command before the interpreter does, and replaces those that must not reach its builtins.
func (s *script) call(ctx context.Context, args []string) ([]string, error) {
	hc := interp.HandlerCtx(ctx)
	process := s.process
	if f := s.forkOf(hc.Env); f != nil {
		process = f.process
		f.calls.Add(1)
	}
	process.clock.wake()
	if args[0] == callExit || args[0] == callOwns {
		return args, nil
	}
	err := bounded()
	if err == nil {
		err = s.fits(hc, process, args)
	}
	if err != nil {
		if _, captured := hc.Stdout.(*strings.Builder); !captured { // else the shell around says so
			fmt.Fprintln(hc.Stderr, err)
		}
		return nil, err
	}
	if n := process.Signal(); n != 0 {
		return []string{"exit", strconv.Itoa(128 + n)}, nil
	}
	if s.isFunction(args[0]) {
		return args, nil
	}
	return s.replace(hc, process, args), nil
}

func (s *script) isFunction(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.functions[name]
}

func bounded() error {
	var frame [1]uintptr
	if runtime.Callers(maxFrames, frame[:]) > 0 {
		return errors.New("sh: functions nest too deep")
	}
	if runtime.NumGoroutine() > maxGoroutines {
		return fmt.Errorf("sh: fork: %w", syscall.EAGAIN)
	}
	return nil
}

func (s *script) replace(hc interp.HandlerContext, process *Process, args []string) []string {
	switch args[0] {
	case "echo", "printf":
		// Ours notice that nobody reads, as SIGPIPE would.
		return append([]string{own + args[0]}, args[1:]...)
	case "kill", "umask":
		return append([]string{own + args[0]}, args[1:]...)
	case "ulimit":
		return s.ulimit(hc, process, args)
	case "jobs", "disown", "enable", "bind", "history":
		return []string{"true"}
	case "builtin":
		if len(args) > 1 && interp.IsBuiltin(args[1]) {
			return s.replace(hc, process, args[1:])
		}
	case "pwd":
		if strings.Contains(strings.Join(args[1:], " "), "P") {
			return []string{own + "pwd"}
		}
	case "command":
		if len(args) > 1 && interp.IsBuiltin(args[1]) {
			return s.replace(hc, process, args[1:])
		}
		return lookUp(hc, args)
	case "type":
		return describe(hc, args)
	case "source", ".":
		if len(args) > 1 {
			return append([]string{args[0], unseen + s.find(hc, args[1])}, args[2:]...)
		}
	case "eval":
		return []string{"eval", s.rewriteText(process, strings.Join(args[1:], " "))}
	case "trap":
		if len(args) > 2 && args[1] != "-" && args[1] != "--" {
			return append([]string{"trap", s.rewriteText(process, args[1])}, args[2:]...)
		}
	case "wait":
		process.clock.nap()
		return s.waitFor(args)
	case "read":
		return s.read(hc, process, args)
	case "mapfile", "readarray":
		process.clock.nap()
	case "test", "[":
		return s.test(hc, args)
	}
	return args
}

// lookUp is command -v: functions and builtins by the interpreter, which must not see a PATH of the host; programs by ours.
func lookUp(hc interp.HandlerContext, args []string) []string {
	if len(args) < 3 || (args[1] != "-v" && args[1] != "-V") {
		return args
	}
	return eachName(hc, args[2:], func(name string) string {
		return "PATH=" + nowhere + " command -v " + name + " || /bin/which " + name
	}, args)
}

// describe is type, likewise.
func describe(hc interp.HandlerContext, args []string) []string {
	flags, names := "", args[1:]
	for len(names) > 0 && strings.HasPrefix(names[0], "-") {
		flags, names = flags+" "+names[0], names[1:]
	}
	found := `/bin/echo %[1]s is "$(/bin/which %[1]s)"`
	switch {
	case strings.Contains(flags, "t"):
		found = "/bin/echo file"
	case strings.ContainsAny(flags, "pP"):
		found = "/bin/which %[1]s"
	}
	return eachName(hc, names, func(name string) string {
		return "PATH=" + nowhere + " type" + flags + " " + name + " 2>/dev/null || { /bin/which " + name + " >/dev/null && " +
			strings.ReplaceAll(found, "%[1]s", name) + "; } || { /bin/echo type: " + name + ": not found >&2; false; }"
	}, args)
}

// eachName returns a line that runs what line makes of every name. Where it runs itself, which PATH tells, it lets the
// builtin pass, unless the name is a path, which the builtin would look at.
func eachName(hc interp.HandlerContext, names []string, line func(name string) string, args []string) []string {
	inner := hc.Env.Get("PATH").String() == nowhere
	var lines []string
	for _, name := range names {
		if inner && !strings.Contains(name, "/") {
			continue
		}
		quoted, err := syntax.Quote(name, syntax.LangBash)
		if err != nil || name == "--" {
			continue
		}
		if strings.Contains(name, "/") {
			lines = append(lines, "/bin/which "+quoted)
		} else {
			lines = append(lines, line(quoted))
		}
	}
	if inner && len(lines) == 0 {
		return args
	}
	if len(lines) == 0 {
		return []string{"true"}
	}
	return []string{"eval", strings.Join(lines, "; ")}
}

// find is where source finds a script: in PATH, else in the working directory.
func (s *script) find(hc interp.HandlerContext, name string) string {
	if strings.Contains(name, "/") {
		return absolute(hc.Dir, name)
	}
	for dir := range strings.SplitSeq(hc.Env.Get("PATH").String(), ":") {
		file := absolute(hc.Dir, path.Join(dir, name))
		if info, err := s.machine.FS.Stat(s.proc.User, file, true); err == nil && info.Mode.IsRegular() {
			return file
		}
	}
	return absolute(hc.Dir, name)
}

func absolute(dir, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return strings.TrimSuffix(dir, "/") + "/" + name
}

// waitFor turns process ids into the interpreter's names of jobs.
func (s *script) waitFor(args []string) []string {
	out := []string{"wait"}
	for _, a := range args[1:] {
		if name, ok := s.jobName(a); ok {
			a = name
		}
		out = append(out, a)
	}
	return out
}

// test answers for what the interpreter would ask the host: whether a descriptor is a terminal, and who owns a file.
func (s *script) test(hc interp.HandlerContext, args []string) []string {
	operands := args[1:]
	if args[0] == "[" && len(operands) > 0 {
		operands = operands[:len(operands)-1]
	}
	negated := len(operands) == 3 && operands[0] == "!"
	if negated {
		operands = operands[1:]
	}
	if len(operands) == 2 && operands[0] == "-t" {
		fd, err := strconv.Atoi(operands[1])
		p := &programs.Proc{Stdin: hc.Stdin, Stdout: hc.Stdout, Stderr: hc.Stderr}
		return []string{strconv.FormatBool((err == nil && s.machine.Terminal(p, fd)) != negated)}
	}
	out := append([]string(nil), args...)
	for i, a := range out[:len(out)-1] {
		if i > 0 && (a == "-O" || a == "-G") {
			out[i], out[i+1] = "-n", ""
			if s.owns(hc, a, args[i+1]) {
				out[i+1] = "yes"
			}
		}
	}
	return out
}
