package mock

import (
	"context"
	"errors"
	"net"
	"os"
	hostuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// sh runs a line of shell and returns all that it wrote.
func sh(t *testing.T, s sandbox.Sandbox, script string) string {
	t.Helper()
	stdout, stderr, _, err := sandbox.Output(t.Context(), s, sandbox.Command{Args: []string{"sh", "-c", script}})
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return string(stdout) + string(stderr)
}

// TestNoHostFiles plants a file on the host and tries every way that a shell has to notice it.
func TestNoHostFiles(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "host-program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho FROM-THE-HOST\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("host-program", filepath.Join(dir, "host-link")); err != nil {
		t.Fatal(err)
	}
	s := create(t, NewProvider(), sandbox.Spec{})
	for _, script := range []string{
		"cat " + program, "cat < " + program, "echo $(< " + program + ")", "sh " + program, program, ". " + program, "source " + program,
		"PATH=" + dir + " host-program", "PATH=" + dir + "; . host-program", "ls " + dir, "ls -la " + dir + "/..", "echo " + dir + "/*",
		"test -e " + program + " && echo FROM-THE-HOST", "[ -x " + program + " ] && echo FROM-THE-HOST",
		"[[ -f " + program + " ]] && echo FROM-THE-HOST", "[ -O " + program + " ] && echo FROM-THE-HOST",
		"cd " + dir + " && echo FROM-THE-HOST", "find " + dir, "stat " + program, "readlink -f " + dir + "/host-link | grep program",
		"mkdir -p /x; cd /x; cat ../.." + program, "eval 'cat " + program + "'", "cat <(echo x)", "env -i /bin/cat " + program,
		"xargs cat " + program + " </dev/null", "find / -name 'host-*'", "exec < " + program + "; cat", "exec " + program,
		"ln -s " + program + " /tmp/l; cat /tmp/l", "trap 'cat " + program + "' EXIT", "cat /proc/self/environ", "cat /etc/shadow",
	} {
		out := sh(t, s, script)
		if strings.Contains(out, "FROM-THE-HOST") {
			t.Errorf("%s: found the host's file: %q", script, out)
		}
	}
	// These would tell that a file is there.
	for _, script := range []string{
		"command -v " + program, "PATH=" + dir + "; command -v host-program", "PATH=" + dir + "; type host-program 2>/dev/null",
		"PATH=" + nowherePath + " command -v " + program, "builtin command -v " + program, "type -p " + program + " 2>/dev/null",
	} {
		if out := sh(t, s, script); strings.Contains(out, dir) {
			t.Errorf("%s: told of the host's file: %q", script, out)
		}
	}
	if err := os.Symlink("elsewhere", filepath.Join(dir, "here")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "elsewhere"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out := sh(t, s, "mkdir -p "+dir+"/here; cd "+dir+"/here; pwd -P"); out != dir+"/here\n" {
		t.Errorf("pwd -P followed a link of the host: %q", out)
	}
	written := filepath.Join(dir, "written")
	sh(t, s, "echo x > "+written+"; mkdir -p "+dir+"; echo x > "+written+"; cp "+written+" "+written+"2; rm -rf "+dir)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("the host's directory holds %v, %v", entries, err)
	}
}

// nowherePath is the directory by which package shell turns the interpreter's own look-ups away.
const nowherePath = "/dev/null/none"

func TestNoPipesOnTheHost(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := create(t, NewProvider(), sandbox.Spec{Env: map[string]string{"TMPDIR": dir}})
	for _, script := range []string{"cat <(echo a)", "echo a > >(cat)", "eval 'cat <(echo a)'", "cat <(echo a) | cat", "TMPDIR=" + dir + " sh -c 'cat <(echo a)'"} {
		sh(t, s, script)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the host's directory for temporary files holds %v, %v", entries, err)
	}
}

func TestNoHostEnvironment(t *testing.T) {
	t.Setenv("VOIDBOX_TEST_SECRET", "FROM-THE-HOST")
	s := create(t, NewProvider(), sandbox.Spec{})
	for _, script := range []string{"env", "export -p", "set", "echo $VOIDBOX_TEST_SECRET", "sh -c env", "printenv", "env -i sh -c env", "(env) & wait"} {
		if out := sh(t, s, script); strings.Contains(out, "FROM-THE-HOST") {
			t.Errorf("%s: found the host's environment: %q", script, out)
		}
	}
	if out := sh(t, s, "env -i sh -c 'echo $HOME $UID; cd; pwd'"); out != ordinary.Home+" 1000\n"+ordinary.Home+"\n" {
		t.Errorf("an empty environment is filled with %q", out)
	}
}

func TestNoHostProcessesOrUsers(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	self := strconv.Itoa(os.Getpid())
	for _, script := range []string{"echo $$", "echo $PPID", "ps", "eval 'echo $$'", "echo ${$}", "(echo $$) & wait", "echo $$ | cat"} {
		for _, word := range strings.Fields(sh(t, s, script)) {
			if word == self || word == strconv.Itoa(os.Getppid()) {
				t.Errorf("%s: told the host's process id", script)
			}
		}
	}
	sh(t, s, "kill -9 "+self) // we are still here
	u, err := hostuser.Lookup("daemon")
	if err != nil {
		t.Fatalf("a user to look for: %v", err)
	}
	for _, script := range []string{"echo ~daemon", "echo ~daemon | cat", "echo {~daemon,x}", "echo ~daemon & wait", "eval 'echo ~daemon'", "a=~daemon; echo $a", "cd ~daemon"} {
		if out := sh(t, s, script); strings.Contains(out, u.HomeDir) {
			t.Errorf("%s: told the home of a user of the host: %q", script, out)
		}
	}
}

func TestNoNetwork(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	s := create(t, NewProvider(), sandbox.Spec{})
	for _, script := range []string{
		"echo hi > /dev/tcp/127.0.0.1/" + strconv.Itoa(port), "exec 3<>/dev/tcp/127.0.0.1/" + strconv.Itoa(port),
		"nc 127.0.0.1 " + strconv.Itoa(port), "curl http://127.0.0.1:" + strconv.Itoa(port),
	} {
		sh(t, s, script)
	}
	if _, err := s.Dial(t.Context(), "tcp", listener.Addr().String()); !errors.Is(err, errdef.ErrUnsupported) {
		t.Errorf("dial: %v", err)
	}
	listener.(*net.TCPListener).SetDeadline(time.Unix(1, 0))
	if c, err := listener.Accept(); err == nil {
		c.Close()
		t.Error("somebody connected to the host")
	}
}

func TestNameIsTheMock(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{Hostname: "box"})
	if out := sh(t, s, "uname -a"); !strings.Contains(out, "mock") || !strings.Contains(out, "box") {
		t.Errorf("uname -a: %q", out)
	}
}

// TestHostileScripts runs what would eat a host.
func TestHostileScripts(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{MemoryBytes: minMemory})
	for _, c := range []struct{ script, want string }{
		{"f() { f; }; f; echo $?", "too deep"},
		{"cat /dev/zero > big; echo $?", "No space left"},
		{"i=0; while mkdir d$i 2>/dev/null; do cd d$i; done; echo ended", "ended"},
		{"yes | head -n 1", "y"},
		{"while true; do echo x; done | head -n 2", "x\nx"},
		{"printf '%999999999d' 1; echo $?", "too large"},
		{"printf '#!/tmp/loop\\n' > /tmp/loop; chmod +x /tmp/loop; /tmp/loop; echo $?", "126"},
	} {
		if out := sh(t, s, c.script); !strings.Contains(out, c.want) {
			t.Errorf("%s: got %.300q, want %q in it", c.script, out, c.want)
		}
	}
}

func TestResponses(t *testing.T) {
	p := NewProvider()
	config := `{"response": [
		{"command": "^python3 .*", "stdout": "first\n", "times": 1},
		{"command": "^python3 ", "stdout": "again\n", "stderr": "warning\n", "exit": 3},
		{"command": "^slow$", "delay": "1h"}
	]}`
	if err := p.Configure(t.Context(), base.Config{JSON: []byte(config)}); err != nil {
		t.Fatal(err)
	}
	s := create(t, p, sandbox.Spec{})
	if out := sh(t, s, "python3 x.py; python3 x.py 2>&1; echo $?; python3 y | tr a-z A-Z 2>/dev/null"); out != "first\nagain\nwarning\n3\nAGAIN\nwarning\n" {
		t.Errorf("in a script: %q", out)
	}
	stdout, _, exit, err := sandbox.Output(t.Context(), s, sandbox.Command{Args: []string{"python3", "z"}})
	if err != nil || string(stdout) != "again\n" || exit.Code != 3 {
		t.Errorf("as a command: %q, %+v, %v", stdout, exit, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Exec(ctx, sandbox.Command{Args: []string{"slow"}}, sandbox.IO{}); !errors.Is(err, context.Canceled) {
		t.Errorf("delayed and cancelled: %v", err)
	}
	for _, bad := range []string{`{"response":[{"command":"("}]}`, `{"response":[{"command":"x","exit":256}]}`, `{"response":[{"command":"x","delay":"soon"}]}`} {
		var diags base.Diagnostics
		if err := p.Configure(t.Context(), base.Config{JSON: []byte(bad)}); !errors.As(err, &diags) || !diags.HasErrors() {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
