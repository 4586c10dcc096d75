package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// lines are lines of shell with what they must give.
var lines = []struct {
	name, script, stdout, stderr string
	code                         int
}{
	{"true", "true", "", "", 0},
	{"false", "false", "", "", 1},
	{"exit code", "exit 42", "", "", 42},
	{"largest exit code", "exit 255", "", "", 255},
	{"output", "echo hello", "hello\n", "", 0},
	{"errors", "echo oops >&2", "", "oops\n", 0},
	{"both outputs", "echo out; echo err >&2; exit 3", "out\n", "err\n", 3},
	{"no newline", "printf abc", "abc", "", 0},
	{"pipeline", "printf 'b\\na\\nc\\n' | sort | head -n 2", "a\nb\n", "", 0},
	{"status of a pipeline", "true | false", "", "", 1},
	{"and, or", "false || echo or && echo and", "or\nand\n", "", 0},
	{"subshell", "(cd /; pwd); x=1; (x=2); echo $x", "/\n1\n", "", 0},
	{"loop", "for i in 1 2 3; do printf $i; done", "123", "", 0},
	{"while", "i=0; while test $i -lt 3; do i=$((i+1)); done; echo $i", "3\n", "", 0},
	{"function", "f() { echo \"<$1>\"; return 7; }; f x; echo $?", "<x>\n7\n", "", 0},
	{"here document", "cat <<end\na $((1+1))\nend", "a 2\n", "", 0},
	{"command substitution", "echo \"$(echo a | tr a b)\"", "b\n", "", 0},
	{"case", "case abc in a*) echo yes;; *) echo no;; esac", "yes\n", "", 0},
	{"quotes", `printf '%s|' "a b" 'c  d' e\ f`, "a b|c  d|e f|", "", 0},
	{"unicode", "echo 'grüße 世界'", "grüße 世界\n", "", 0},
	{"errors into output", "{ echo out; echo err >&2; } 2>&1 | sort", "err\nout\n", "", 0},
	{"background job", "echo a > /tmp/bg.$$ & wait; cat /tmp/bg.$$; rm /tmp/bg.$$", "a\n", "", 0},
	{"kill a background job", "{ sleep 1000 & kill $!; wait $!; echo $?; } 2>/dev/null", "143\n", "", 0},
	{"status of a killed child", "{ sh -c 'kill -KILL $$'; echo $?; } 2>/dev/null", "137\n", "", 0},
	{"kill asks whether", "kill -0 $$ && echo alive", "alive\n", "", 0},
	{"script that is missing", "sh /no/such/script 2>/dev/null || echo failed", "failed\n", "", 0},
	{"command not found", "no-such-program 2>/dev/null; echo $?", "127\n", "", 0},
	{"not executable", "printf x > /tmp/nx.$$; /tmp/nx.$$ 2>/dev/null; echo $?; rm /tmp/nx.$$", "126\n", "", 0},
	{"positional parameters", `set -- a "b c"; echo $#:$2`, "2:b c\n", "", 0},
	{"exit of set -e", "set -e; false; echo not reached", "", "", 1},
}

var execCases = append(lineCases(), []sandboxCase{
	{"arguments reach the program as they are", func(s *session) {
		r := s.exec(sandbox.Command{Args: []string{"printf", "%s|", "", "a b", "*", "$HOME", "'", "\\", "ü"}})
		equalText(s, "output", r.stdout, "|a b|*|$HOME|'|\\|ü|")
	}},
	{"a program is found by its path", func(s *session) {
		equalText(s, "output", s.exec(sandbox.Command{Args: []string{"/bin/echo", "hi"}}).stdout, "hi\n")
	}},
	{"a script runs by its first line", func(s *session) {
		path := s.dir() + "/script"
		s.write(path, "#!/bin/sh\necho \"$0 $# $2\"\nexit 5\n", sandbox.WriteOptions{Mode: 0o755})
		r := s.exec(sandbox.Command{Args: []string{path, "a", "b"}})
		equalText(s, "output", r.stdout, path+" 2 b\n")
		equal(s, "exit code", r.exit.Code, 5)
	}},
	{"a signal ends with 128 plus its number", func(s *session) {
		for name, code := range map[string]int{"TERM": 143, "KILL": 137, "HUP": 129} {
			exit := s.exec(shell("kill -" + name + " $$")).exit
			equal(s, "exit code after "+name, exit.Code, code)
			equal(s, "signal", exit.Signal, name)
		}
	}},
	{"an ordinary end has no signal", func(s *session) {
		exit := s.exec(shell("exit 137")).exit
		equal(s, "exit code", exit.Code, 137)
		equal(s, "signal", exit.Signal, "")
	}},
	{"control sends signals", func(s *session) {
		for name, code := range map[string]int{"INT": 130, "TERM": 143, "KILL": 137} {
			control := make(chan sandbox.Control, 1)
			exit, err := s.Exec(s.ctx, sandbox.Command{Args: []string{"sleep", "1000"}}, sandbox.IO{
				Control: control,
				Started: func(int) { control <- sandbox.Control{Signal: name} },
			})
			s.must(err)
			equal(s, "exit code after "+name, exit.Code, code)
			equal(s, "signal", exit.Signal, name)
		}
	}},
	{"an unknown signal is refused", func(s *session) {
		control := make(chan sandbox.Control, 1)
		control <- sandbox.Control{Signal: "NONSENSE"}
		err := s.execError(sandbox.Command{Args: []string{"sleep", "1000"}}, sandbox.IO{Control: control})
		s.wantError(err, errdef.ErrInvalid)
	}},
	{"environment reaches the command", func(s *session) {
		cmd := shell(`printf '%s|%s' "$SUITE" "$EMPTY"; env | grep -c '^EMPTY=$'`)
		cmd.Env = map[string]string{"SUITE": "a b=c\nd", "EMPTY": ""}
		equalText(s, "output", s.exec(cmd).stdout, "a b=c\nd|1\n")
	}},
	{"the command's environment is stronger", func(s *session) {
		cmd := shell("echo $HOME")
		equalText(s, "home", s.exec(cmd).stdout, s.info.Home+"\n")
		cmd.Env = map[string]string{"HOME": "/elsewhere"}
		equalText(s, "home", s.exec(cmd).stdout, "/elsewhere\n")
	}},
	{"one command's environment is not the next one's", func(s *session) {
		s.sh("export SUITE_LEAK=1")
		equalText(s, "output", s.sh("echo .$SUITE_LEAK"), ".\n")
	}},
	{"the program is looked up in the command's PATH", func(s *session) {
		dir := s.dir()
		s.write(dir+"/suite-program", "#!/bin/sh\necho found\n", sandbox.WriteOptions{Mode: 0o755})
		cmd := sandbox.Command{Args: []string{"suite-program"}}
		s.wantError(s.execError(cmd, sandbox.IO{}), errdef.ErrNotFound)
		cmd.Env = map[string]string{"PATH": dir + ":/usr/bin:/bin"}
		equalText(s, "output", s.exec(cmd).stdout, "found\n")
	}},
	{"working directory", func(s *session) {
		equalText(s, "default", s.sh("pwd"), s.info.WorkingDir+"\n")
		dir := s.dir()
		cmd := shell("pwd; echo x > here")
		cmd.Dir = dir
		equalText(s, "given", s.exec(cmd).stdout, dir+"\n")
		equalText(s, "file beside", s.read(dir+"/here"), "x\n")
	}},
	{"missing working directory", func(s *session) {
		cmd := shell("true")
		cmd.Dir = "/no/such/dir"
		s.wantError(s.execError(cmd, sandbox.IO{}), errdef.ErrNotFound)
	}},
	{"working directory that is a file", func(s *session) {
		cmd := shell("true")
		cmd.Dir = s.dir() + "/file"
		s.write(cmd.Dir, "", sandbox.WriteOptions{})
		s.wantError(s.execError(cmd, sandbox.IO{}), errdef.ErrInvalid, errdef.ErrNotFound)
	}},
	{"missing program", func(s *session) {
		for _, name := range []string{"no-such-program", "/no/such/program"} {
			s.wantError(s.execError(sandbox.Command{Args: []string{name}}, sandbox.IO{}), errdef.ErrNotFound)
		}
	}},
	{"program without permission", func(s *session) {
		path := s.dir() + "/plain"
		s.write(path, "#!/bin/sh\n", sandbox.WriteOptions{Mode: 0o644})
		s.wantError(s.execError(sandbox.Command{Args: []string{path}}, sandbox.IO{}), errdef.ErrPermission)
	}},
	{"directory as a program", func(s *session) {
		s.wantError(s.execError(sandbox.Command{Args: []string{s.dir()}}, sandbox.IO{}), errdef.ErrPermission, errdef.ErrInvalid)
	}},
	{"malformed commands", func(s *session) {
		for name, cmd := range map[string]sandbox.Command{
			"no arguments":     {},
			"empty program":    {Args: []string{""}},
			"NUL in argument":  {Args: []string{"echo", "a\x00b"}},
			"NUL in variable":  {Args: []string{"env"}, Env: map[string]string{"A": "\x00"}},
			"name with equals": {Args: []string{"env"}, Env: map[string]string{"A=B": "c"}},
			"relative dir":     {Args: []string{"true"}, Dir: "tmp"},
			"negative timeout": {Args: []string{"true"}, Timeout: -1},
		} {
			_, err := s.Exec(s.ctx, cmd, sandbox.IO{})
			if !errors.Is(err, errdef.ErrInvalid) {
				s.Errorf("%s: error is %v, want errdef.ErrInvalid", name, err)
			}
		}
	}},
	{"timeout", func(s *session) {
		cmd := shell("echo before; sleep 1000; echo after")
		cmd.Timeout = 500 * time.Millisecond
		r := s.exec(cmd)
		equal(s, "timed out", r.exit.TimedOut, true)
		if r.exit.Code == 0 || strings.Contains(r.stdout, "after") {
			s.Errorf("exit %+v with output %q", r.exit, r.stdout)
		}
		cmd.Args, cmd.Timeout = []string{"true"}, time.Hour
		equal(s, "timed out", s.exec(cmd).exit.TimedOut, false)
	}},
	{"cancelling kills the process group", cancelKillsGroup},
	{"a cancelled call does not run", func(s *session) {
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		_, err := s.Exec(ctx, sandbox.Command{Args: []string{"true"}}, sandbox.IO{})
		s.wantError(err, context.Canceled)
	}},
	{"64 commands at once", func(s *session) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				r, err := output(s, shell(fmt.Sprintf("cat; echo %d; exit %d", i, i%8)), "in ")
				if err != nil || r.stdout != fmt.Sprintf("in %d\n", i) || r.exit.Code != i%8 {
					s.Errorf("command %d: %+v, %v", i, r, err)
				}
			})
		}
		wg.Wait()
	}},
	{"users", func(s *session) {
		cmd := shell("id -u")
		cmd.User = "0"
		if !s.has(sandbox.CapUsers) {
			// An excused sandbox, see Excuse. It says so rather than run the command as somebody else.
			s.wantError(s.execError(cmd, sandbox.IO{}), errdef.ErrUnsupported, errdef.ErrPermission)
			return
		}
		equalText(s, "uid", s.exec(cmd).stdout, "0\n")
		if s.sh("id -u") == "0\n" {
			s.Error("commands run as root by default")
		}
		cmd.User = "root"
		equalText(s, "uid of root", s.exec(cmd).stdout, "0\n")
		cmd.User = "1234:2345"
		cmd.Args = []string{"sh", "-c", "id -u; id -g"}
		equalText(s, "ids", s.exec(cmd).stdout, "1234\n2345\n")
		cmd.User = "no-such-user"
		s.wantError(s.execError(cmd, sandbox.IO{}), errdef.ErrNotFound, errdef.ErrInvalid)
		path := s.dir() + "/owned"
		s.write(path, "", sandbox.WriteOptions{User: "1234:2345"})
		f, err := s.Stat(s.ctx, path, false)
		s.must(err)
		equal(s, "owner", [2]uint32{f.UID, f.GID}, [2]uint32{1234, 2345})
	}},
	{"limits", func(s *session) {
		cmd := shell("ulimit -n; head -c 65536 /dev/zero > big; wc -c < big")
		cmd.Dir, cmd.Limits = s.dir(), sandbox.Limits{OpenFiles: 77, FileSizeBytes: 4096}
		if !s.has(sandbox.CapExactLimits) {
			s.wantError(s.execError(cmd, sandbox.IO{}), errdef.ErrUnsupported)
			return
		}
		equalText(s, "open files, and size of the file", s.exec(cmd).stdout, "77\n4096\n")
	}},
}...)

func lineCases() []sandboxCase {
	var cases []sandboxCase
	for _, l := range lines {
		cases = append(cases, sandboxCase{"shell: " + l.name, func(s *session) {
			r := s.exec(shell(l.script))
			equalText(s, "stdout", r.stdout, l.stdout)
			equalText(s, "stderr", r.stderr, l.stderr)
			equal(s, "exit code", r.exit.Code, l.code)
		}})
	}
	return cases
}

// output is exec for goroutines, which must not end the case.
func output(s *session, cmd sandbox.Command, stdin string) (result, error) {
	var out strings.Builder
	exit, err := s.Exec(s.ctx, cmd, sandbox.IO{Stdin: strings.NewReader(stdin), Stdout: &out})
	return result{stdout: out.String(), exit: exit}, err
}

// cancelKillsGroup watches a file that a child of the command keeps writing to.
func cancelKillsGroup(s *session) {
	file := s.dir() + "/ticks"
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		script := fmt.Sprintf("(while true; do echo x >> %s; sleep 0.05; done) & echo ready; wait", file)
		_, err := s.Exec(ctx, shell(script), sandbox.IO{Stdout: writer})
		writer.CloseWithError(io.EOF)
		ended <- err
	}()
	if _, err := io.ReadFull(reader, make([]byte, len("ready\n"))); err != nil {
		s.Fatalf("read what the command says: %v", err)
	}
	size := func() int {
		n, err := strconv.Atoi(strings.TrimSpace(s.sh("cat %s 2>/dev/null | wc -c", file)))
		s.must(err)
		return n
	}
	s.eventually("the child writes", func() bool { return size() > 0 })
	cancel()
	s.wantError(<-ended, context.Canceled)
	s.eventually("the child is dead", func() bool {
		before := size()
		s.exec(sandbox.Command{Args: []string{"sleep", "1"}})
		return size() == before
	})
}
