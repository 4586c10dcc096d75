package shell

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Rewritten scripts tell us of what the interpreter has no handler for by $(<hook/...), which it asks the open handler for. Of
// all that a script can do this alone leaves $? as it is and is not shown by set -x. What a hook yields takes its place.
//
//	room/FIRST/COST/PARAMETERS  before a word whose expansion may take much memory
//	narrow/+1, narrow/-1        around a replacement with command substitutions in it
//	fork/KIND/SINGLE            makes a process for a subshell; yields its id
//	done                        ends that process; yields 0
//	name/PID/JOB                what the interpreter calls a background job
//	file/PATH                   the content of a file, for $(<file)
const hooks = nowhere + "/hook/"

// hook makes a part of a word that calls a hook.
func hook(name string, more ...syntax.WordPart) *syntax.CmdSubst {
	parts := append([]syntax.WordPart{&syntax.SglQuoted{Value: hooks + name}}, more...)
	return &syntax.CmdSubst{Stmts: []*syntax.Stmt{{
		Redirs: []*syntax.Redirect{{Op: syntax.RdrIn, Word: &syntax.Word{Parts: parts}}},
	}}}
}

// called answers a hook. An error ends the shell.
func (s *script) called(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	hc := interp.HandlerCtx(ctx)
	process := s.current(hc.Env)
	process.clock.wake()
	kind, rest, _ := strings.Cut(name, "/")
	switch kind {
	case "room":
		parts := append(strings.SplitN(rest, "/", 3), "", "")
		return yield(""), s.room(hc, process, parts[0] == "1", parts[1], parts[2])
	case "narrow":
		by, _ := strconv.Atoi(rest)
		s.machine.narrow(process, by)
		return yield(""), nil
	case "fork":
		forkKind, single, _ := strings.Cut(rest, "/")
		pid, err := s.fork(hc, process, forkKind, single == "1")
		return yield(strconv.Itoa(pid)), err
	case "done":
		s.done(hc.Env)
		return yield("0"), nil
	case "name":
		pid, job, _ := strings.Cut(rest, "/")
		s.nameJob(pid, job)
		return yield(""), nil
	case "file":
		return s.wholeFile(hc, process, rest)
	}
	return nil, &os.PathError{Op: "open", Path: hooks + name, Err: os.ErrNotExist}
}

// answer is what a hook yields.
type answer struct {
	stream
	text string
}

func yield(text string) answer { return answer{stream{Reader: strings.NewReader(text)}, text} }

// WriteTo implements io.WriterTo. The interpreter made the hook's path in the very buffer that it collects our answer in, and
// does not clear it.
func (a answer) WriteTo(w io.Writer) (int64, error) {
	if b, ok := w.(*strings.Builder); ok {
		b.Reset()
	}
	n, err := io.WriteString(w, a.text)
	return int64(n), err
}

// wholeFile is $(<file), as far as a command substitution may go.
func (s *script) wholeFile(hc interp.HandlerContext, process *Process, name string) (io.ReadWriteCloser, error) {
	limits := s.limits(hc.Env)
	f, err := s.machine.FS.Open(process.As(s.proc.User, limits), absolute(hc.Dir, name), os.O_RDONLY, 0)
	if err != nil {
		fmt.Fprintf(hc.Stderr, "sh: %v\n", err)
		return yield(""), nil
	}
	defer f.Close()
	limit := s.machine.captured(process, limits.Memory())
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && uint64(len(b)) > limit {
		err = errNoMemory
	}
	return yield(string(b)), err
}
