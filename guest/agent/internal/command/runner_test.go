package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/cgroup"
	"github.com/voidbox-run/voidbox/guest/agent/internal/proc"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// What commands leave behind becomes a child of the test, as it would be PID 1's.
func TestMain(m *testing.M) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func newRunner(t *testing.T, change func(*Settings)) *Runner {
	t.Helper()
	table := proc.NewTable()
	t.Cleanup(table.Close)
	s := Settings{Table: table, User: boot.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Name: "tester", Home: t.TempDir()}}
	if change != nil {
		change(&s)
	}
	r, err := NewRunner(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// withTree gives the runner a part of the cgroup v2 hierarchy, which every kernel can mount, with whatever controllers it has
// left. There is one hierarchy however often it is mounted, so the part is the test's own.
func withTree(t *testing.T) func(*Settings) {
	t.Helper()
	mount := t.TempDir()
	if err := unix.Mount("none", mount, "cgroup2", 0, ""); err != nil {
		t.Skipf("mounting cgroup v2 needs root: %v", err)
	}
	root := filepath.Join(mount, "voidbox-"+rand.Text())
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	tree, err := cgroup.Open(root, cgroup.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = tree.Kill()
		_ = tree.Thaw()
		back := os.WriteFile(filepath.Join(mount, "cgroup.procs"), []byte("0"), 0)
		err := errors.Join(tree.Close(), back, os.Remove(filepath.Join(root, "agent")), os.Remove(root), unix.Unmount(mount, 0))
		if err != nil {
			t.Error(err)
		}
	})
	return func(s *Settings) { s.Tree = tree }
}

func sh(text string) sandbox.Command { return sandbox.Command{Args: []string{"/bin/sh", "-c", text}} }

// output runs a command to its end.
func output(t *testing.T, r *Runner, cmd sandbox.Command, stdin io.Reader) (stdout, stderr string, exit sandbox.Exit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	exit, err := r.Exec(ctx, cmd, sandbox.IO{Stdin: stdin, Stdout: &out, Stderr: &errs})
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return out.String(), errs.String(), exit
}

func TestOutputIsExact(t *testing.T) {
	r := newRunner(t, nil)
	input := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	out, errs, exit := output(t, r, sh("tee /dev/stderr; exit 3"), bytes.NewReader(input))
	if out != string(input) || errs != string(input) || exit.Code != 3 {
		t.Errorf("%d and %d bytes of %d, %+v", len(out), len(errs), len(input), exit)
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			out, _, _ := output(t, r, sh(fmt.Sprintf("head -c %d /dev/zero", i*1000)), nil)
			if len(out) != i*1000 {
				t.Errorf("%d bytes, want %d", len(out), i*1000)
			}
		})
	}
	wg.Wait()
}

func TestInputMayBeIgnored(t *testing.T) {
	r := newRunner(t, nil)
	_, _, exit := output(t, r, sh("exit 0"), bytes.NewReader(make([]byte, 1<<20)))
	if exit.Code != 0 {
		t.Errorf("%+v", exit)
	}
	if out, _, _ := output(t, r, sh("cat; echo end"), nil); out != "end\n" {
		t.Errorf("no input: %q", out)
	}
}

func TestFailuresToRunAreErrorsWithAKind(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"plain": "", "orphan": "#!/no/such/interpreter\n", "noexec": "neither script nor program"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "plain"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, nil)
	tests := []struct {
		cmd  sandbox.Command
		kind error
	}{
		{sandbox.Command{}, errdef.ErrInvalid},
		{sandbox.Command{Args: []string{""}}, errdef.ErrInvalid},
		{sandbox.Command{Args: []string{"a\x00b"}}, errdef.ErrInvalid},
		{sandbox.Command{Args: []string{"true"}, Env: map[string]string{"A=B": ""}}, errdef.ErrInvalid},
		{sandbox.Command{Args: []string{"true"}, Dir: "relative"}, errdef.ErrInvalid},
		{sandbox.Command{Args: []string{"true"}, Dir: "/no/such"}, errdef.ErrNotFound},
		{sandbox.Command{Args: []string{"true"}, User: "no-such-user"}, errdef.ErrInvalid},
		{sandbox.Command{Args: []string{"no-such-program"}}, errdef.ErrNotFound},
		{sandbox.Command{Args: []string{"/no/such/program"}}, errdef.ErrNotFound},
		{sandbox.Command{Args: []string{dir + "/orphan"}}, errdef.ErrNotFound},
		{sandbox.Command{Args: []string{dir + "/plain"}}, errdef.ErrPermission},
		{sandbox.Command{Args: []string{"plain"}, Env: map[string]string{"PATH": dir}}, errdef.ErrPermission},
		{sandbox.Command{Args: []string{dir + "/noexec"}}, errdef.ErrPermission},
		{sandbox.Command{Args: []string{dir}}, errdef.ErrPermission},
	}
	for _, tt := range tests {
		if exit, err := r.Exec(t.Context(), tt.cmd, sandbox.IO{}); !errors.Is(err, tt.kind) {
			t.Errorf("%+v: got %+v, %v; want %v", tt.cmd, exit, err, tt.kind)
		}
	}
}

func TestEnvironmentAndDirectory(t *testing.T) {
	home := t.TempDir()
	r := newRunner(t, func(s *Settings) {
		s.Env = map[string]string{"A": "sandbox", "B": "sandbox"}
		s.User.Home = home
	})
	cmd := sh("echo $A $B $HOME $USER; pwd")
	cmd.Env = map[string]string{"B": "call"}
	if out, _, _ := output(t, r, cmd, nil); out != "sandbox call "+home+" tester\n"+home+"\n" {
		t.Errorf("got %q", out)
	}
	cmd.Dir = "/usr"
	if out, _, _ := output(t, r, cmd, nil); !strings.HasSuffix(out, "\n/usr\n") {
		t.Errorf("got %q", out)
	}
	// A relative program is looked up from the directory, and PATH is the command's own.
	if err := os.WriteFile(home+"/mine", []byte("#!/bin/sh\necho mine\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []sandbox.Command{{Args: []string{"./mine"}}, {Args: []string{"mine"}, Env: map[string]string{"PATH": "/bin:" + home}}} {
		if out, _, _ := output(t, r, cmd, nil); out != "mine\n" {
			t.Errorf("%v: %q", cmd.Args, out)
		}
	}
}

func TestUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("changing the user needs root")
	}
	r := newRunner(t, nil)
	cmd := sh("id -u; id -g; id -G")
	cmd.User = "4321:4322"
	if out, _, _ := output(t, r, cmd, nil); out != "4321\n4322\n4322\n" {
		t.Errorf("got %q", out)
	}
}

func TestEnds(t *testing.T) {
	r := newRunner(t, nil)
	_, _, exit := output(t, r, sh("kill -USR1 $$"), nil)
	if exit.Code != 128+10 || exit.Signal != "USR1" {
		t.Errorf("signal: %+v", exit)
	}
	cmd := sh("sleep 1000")
	cmd.Timeout = 50 * time.Millisecond
	if _, _, exit = output(t, r, cmd, nil); !exit.TimedOut || exit.Signal != "KILL" {
		t.Errorf("time limit: %+v", exit)
	}
	if _, _, exit = output(t, r, sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), nil); exit.UserTime <= 0 || exit.MaxRSSBytes == 0 {
		t.Errorf("usage: %+v", exit)
	}
}

// A cancelled command takes with it what it started, even what left its group where there are cgroups.
func TestCancelKillsAll(t *testing.T) {
	for name, change := range map[string]func(*testing.T) func(*Settings){
		"process group": func(*testing.T) func(*Settings) { return nil },
		"cgroup":        withTree,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t, change(t))
			script := "sleep 1000 & echo $!; wait"
			if r.Tree != nil {
				script = "setsid sleep 1000 & sleep 0.2; pgrep -n sleep >/dev/null; echo $!; wait"
			}
			ctx, cancel := context.WithCancel(t.Context())
			var out bytes.Buffer
			var child int
			exit, err := r.Exec(ctx, sh(script), sandbox.IO{Stdout: writerFunc(func(p []byte) (int, error) {
				out.Write(p)
				if _, err := fmt.Sscan(out.String(), &child); err == nil {
					cancel()
				}
				return len(p), nil
			})})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %+v, %v", exit, err)
			}
			awaitGone(t, r.Table, child)
		})
	}
}

// awaitGone waits until a process runs no more.
func awaitGone(t *testing.T, table *proc.Table, pid int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-table.Reaped():
		case <-time.After(5 * time.Millisecond): // it may be a child of somebody else
		}
	}
	t.Errorf("process %d goes on", pid)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A command that leaves a server running ends all the same, and the server can go on writing.
func TestWhatIsLeftRunningDoesNotHoldTheCommand(t *testing.T) {
	r := newRunner(t, nil)
	file := filepath.Join(t.TempDir(), "alive")
	server := "(while [ ! -e " + file + ".stop ]; do echo noise; sleep 0.01; done; echo x > " + file + ") & echo started"
	out, _, exit := output(t, r, sh(server), nil)
	if !strings.Contains(out, "started\n") || exit.Code != 0 {
		t.Fatalf("%q, %+v", out, exit)
	}
	if err := os.WriteFile(file+".stop", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := os.Stat(file); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server died of its output")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Endless output of what was left behind does not keep a command from ending, and all that the command wrote arrives.
func TestEndlessOutputOfALeftover(t *testing.T) {
	r := newRunner(t, withTree(t))
	out, _, exit := output(t, r, sh("yes noise & head -c 100000 /dev/zero | tr '\\0' z"), nil)
	if n := strings.Count(out, "z"); n != 100000 || exit.Code != 0 {
		t.Errorf("%d of 100000 bytes, %+v", n, exit)
	}
	if err := r.Tree.Kill(); err != nil {
		t.Fatal(err)
	}
	for again := r.Table.Reaped(); r.Tree.Populated(); again = r.Table.Reaped() {
		select {
		case <-again:
		case <-time.After(time.Minute):
			t.Fatal("the leftover survives its cgroup")
		}
	}
}

func TestLateOutputOfAGrandchildArrives(t *testing.T) {
	r := newRunner(t, nil)
	r.linger = time.Minute
	if out, _, _ := output(t, r, sh("(sleep 0.05; echo late) & echo early"), nil); out != "early\nlate\n" {
		t.Errorf("got %q", out)
	}
}

func TestLimits(t *testing.T) {
	r := newRunner(t, func(s *Settings) { s.Limits.OpenFiles = 77 })
	if out, _, _ := output(t, r, sh("ulimit -n"), nil); out != "77\n" {
		t.Errorf("the sandbox's limit: %q", out)
	}
	cmd := sh("ulimit -n; ulimit -f; ulimit -t")
	cmd.Limits = sandbox.Limits{OpenFiles: 55, FileSizeBytes: 1 << 20, CPUTime: 1500 * time.Millisecond}
	if out, _, _ := output(t, r, cmd, nil); out != "55\n2048\n2\n" {
		t.Errorf("the command's limits: %q", out)
	}
	cmd = sh("head -c 10000 /dev/zero > " + filepath.Join(t.TempDir(), "big"))
	cmd.Limits.FileSizeBytes = 1000
	if _, errs, exit := output(t, r, cmd, nil); exit.Code == 0 {
		t.Errorf("a file over its limit: %q, %+v", errs, exit)
	}
	cmd = sh("while :; do :; done")
	cmd.Limits.CPUTime = time.Second
	if _, _, exit := output(t, r, cmd, nil); exit.Signal != "XCPU" {
		t.Errorf("processor time: %+v", exit)
	}
}

func TestAllowList(t *testing.T) {
	dir := t.TempDir()
	trap := filepath.Join(dir, "echo")
	if err := os.WriteFile(trap, []byte("#!/bin/sh\necho trap\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, func(s *Settings) { s.Commands = []boot.CommandRule{"echo", "/bin/sh", "/sbin/"} })
	tests := []struct {
		cmd     sandbox.Command
		allowed bool
	}{
		{sandbox.Command{Args: []string{"echo"}}, true},
		{sandbox.Command{Args: []string{"/bin/echo"}}, true},
		{sandbox.Command{Args: []string{"/bin/../bin/echo"}}, true},
		{sandbox.Command{Args: []string{trap}}, false},
		{sandbox.Command{Args: []string{"echo"}, Env: map[string]string{"PATH": dir}}, false},
		{sandbox.Command{Args: []string{"./echo"}, Dir: dir}, false},
		{sandbox.Command{Args: []string{"/bin/sh", "-c", "true"}}, true},
		{sandbox.Command{Args: []string{"true"}}, false},
	}
	for _, tt := range tests {
		_, err := r.Exec(t.Context(), tt.cmd, sandbox.IO{})
		if (err == nil) != tt.allowed || err != nil && !errors.Is(err, errdef.ErrPermission) {
			t.Errorf("%+v: %v", tt.cmd, err)
		}
	}
	if _, err := r.ExecTrusted(t.Context(), sandbox.Command{Args: []string{"true"}}, sandbox.IO{}); err != nil {
		t.Errorf("the boot configuration's own: %v", err)
	}
}

func TestSignalsAndSizesArriveWhileItRuns(t *testing.T) {
	r := newRunner(t, nil)
	control := make(chan sandbox.Control, 2)
	var out bytes.Buffer
	exit, err := r.Exec(t.Context(), sh("trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.01; done"), sandbox.IO{
		Control: control,
		Stdout: writerFunc(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte("ready")) {
				control <- sandbox.Control{Signal: "NONSENSE"}
				control <- sandbox.Control{Signal: "USR1"}
			}
			return out.Write(p)
		}),
	})
	if err != nil || exit.Code != 9 || !strings.Contains(out.String(), "got") {
		t.Errorf("%q, %+v, %v", out.String(), exit, err)
	}
}

func TestTerminal(t *testing.T) {
	r := newRunner(t, nil)
	cmd := sh("stty size; echo $TERM; tty >/dev/null && echo tty; ps -o stat= -p $$ | grep -c +; cat; echo eof")
	cmd.Pty = &sandbox.Pty{Size: sandbox.WindowSize{Rows: 11, Cols: 22}, Term: "dumb"}
	out, _, exit := output(t, r, cmd, strings.NewReader("typed\nunfinished"))
	want := "11 22\ndumb\ntty\n1\n"
	out = strings.ReplaceAll(out, "\r\n", "\n")
	for _, part := range []string{want, "typed\n", "unfinished", "eof\n"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q lacks %q", out, part)
		}
	}
	if exit.Code != 0 {
		t.Errorf("%+v", exit)
	}
	cmd = sh("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done")
	cmd.Pty = &sandbox.Pty{}
	control := make(chan sandbox.Control, 1)
	var seen bytes.Buffer
	if _, err := r.Exec(t.Context(), cmd, sandbox.IO{Control: control, Stdin: blocked(t), Stdout: writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("ready")) {
			control <- sandbox.Control{Resize: &sandbox.WindowSize{Rows: 40, Cols: 100}}
		}
		return seen.Write(p)
	})}); err != nil || !strings.Contains(seen.String(), "40 100") {
		t.Errorf("%q, %v", seen.String(), err)
	}
}

// blocked is an input that says nothing until the test ends.
func blocked(t *testing.T) io.Reader {
	r, w := io.Pipe()
	t.Cleanup(func() { _ = w.Close() })
	return r
}

func TestInterruptKeyReachesTheForeground(t *testing.T) {
	r := newRunner(t, nil)
	input, keys := io.Pipe()
	cmd := sh("echo ready; exec sleep 1000") // dash loses an interrupt that comes in its vfork
	cmd.Pty = &sandbox.Pty{}
	exit, err := r.Exec(t.Context(), cmd, sandbox.IO{Stdin: input, Stdout: writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("ready")) {
			go func() { _, _ = keys.Write([]byte{3}); _ = keys.Close() }()
		}
		return len(p), nil
	})})
	if err != nil || exit.Code != 128+2 {
		t.Errorf("%+v, %v", exit, err)
	}
}

func TestFreeze(t *testing.T) {
	r := newRunner(t, withTree(t))
	ticks := make(chan struct{}, 1)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := r.Exec(ctx, sh("while :; do echo; sleep 0.01; done"), sandbox.IO{Stdout: writerFunc(func(p []byte) (int, error) {
			select {
			case ticks <- struct{}{}:
			default:
			}
			return len(p), nil
		})})
		ended <- err
	}()
	<-ticks
	if err := r.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Exec(t.Context(), sh("true"), sandbox.IO{}); !errors.Is(err, errdef.ErrState) {
		t.Errorf("a command while frozen: %v", err)
	}
	if err := r.Thaw(); err != nil {
		t.Fatal(err)
	}
	<-ticks
	<-ticks
	if err := r.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel() // kills what is frozen, too
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := r.Thaw(); err != nil {
		t.Error(err)
	}
}

func TestWithoutCgroupsFreezeIsDeclined(t *testing.T) {
	r := newRunner(t, nil)
	if err := r.Freeze(t.Context()); !errors.Is(err, errdef.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

func TestShutRefusesCommands(t *testing.T) {
	r := newRunner(t, nil)
	r.Shut()
	if _, err := r.Exec(t.Context(), sh("true"), sandbox.IO{}); !errors.Is(err, errdef.ErrState) {
		t.Errorf("got %v", err)
	}
}
