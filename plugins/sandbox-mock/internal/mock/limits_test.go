package mock

import (
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// limited runs a line of shell under limits.
func limited(t *testing.T, s sandbox.Sandbox, limits sandbox.Limits, script string) (string, sandbox.Exit) {
	t.Helper()
	cmd := sandbox.Command{Args: []string{"sh", "-c", script}, Limits: limits}
	stdout, stderr, exit, err := sandbox.Output(t.Context(), s, cmd)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return string(stdout) + string(stderr), exit
}

func TestLimits(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	for _, c := range []struct {
		limits       sandbox.Limits
		script, want string
	}{
		{sandbox.Limits{FileSizeBytes: 4096}, "head -c 65536 /dev/zero > f; echo $?; wc -c < f; ulimit -f", "153\n4096\n8\n"},
		{sandbox.Limits{FileSizeBytes: 10}, "(echo 0123456789abc > f; echo no); echo $?; cat f; rm f; truncate -s 11 f; echo $?", "153\n0123456789153\n"},
		{sandbox.Limits{FileSizeBytes: 10}, "echo 12345678 > f; echo 12345678 >> f; echo no", ""},
		{sandbox.Limits{FileSizeBytes: 10}, "cat /dev/zero | head -c 20 | wc -c", "20\n"},
		{sandbox.Limits{FileSizeBytes: 10}, "sh -c 'head -c 20 /dev/zero > f'; cp /bin/sh g; echo $?; wc -c < f; wc -c < g", "153\n10\n10\n"},

		{sandbox.Limits{OpenFiles: 3}, "cat /etc/hostname; echo $?", "1\ncat: /etc/hostname: Too many open files\n"},
		{sandbox.Limits{OpenFiles: 4}, "cat /etc/hostname && cat /etc/hostname", "voidbox-mock\nvoidbox-mock\n"},
		{sandbox.Limits{OpenFiles: 5}, "cd /tmp; tee a b c </dev/null; echo $?; tee a b </dev/null && echo two", "1\ntwo\ntee: c: Too many open files\n"},
		{sandbox.Limits{OpenFiles: 4}, "cd /tmp; { echo in; { echo no; } > h2; } > h1; echo $?; cat h1", "1\nin\nopen /tmp/h2: too many open files\n"},

		{sandbox.Limits{Processes: 1}, "echo builtin; (echo no); echo $?; cat f; echo $?", "builtin\n1\n126\n" + strings.Repeat("sh: fork: resource temporarily unavailable\n", 2)},
		{sandbox.Limits{Processes: 2}, "(echo one); (cat f); echo $?", "one\n126\nsh: fork: resource temporarily unavailable\n"},
		{sandbox.Limits{Processes: 3}, "echo a | cat; for i in 1 2 3; do sleep 1000 & echo $i $?; done; kill $!", "a\n1 0\n2 0\nsh: fork: resource temporarily unavailable\n"},
		{sandbox.Limits{Processes: 3}, "sleep 0.01 & sleep 0.01 & wait; sleep 0.01 & sleep 0.01 & wait; echo ended", "ended\n"},
		{sandbox.Limits{Processes: 2}, "cat /etc/hostname; sh -c 'echo deep; cat /etc/hostname; echo $?'", "voidbox-mock\ndeep\n126\nsh: fork: resource temporarily unavailable\n"},

		{sandbox.Limits{MemoryBytes: 1 << 20}, "x=x; while :; do x=$x$x; done; echo no", "sh: out of memory\n"},
		{sandbox.Limits{MemoryBytes: 1 << 20}, "x=$(head -c 500000 /dev/zero | tr '\\0' x); echo ${#x}; y=$x; z=$x; echo no", "500000\nsh: out of memory\n"},
		{sandbox.Limits{MemoryBytes: 1 << 20}, "x=$(yes); echo $?", "1\nyes: write error: Cannot allocate memory\nsh: out of memory\n"},

		{sandbox.Limits{}, "ulimit -n; ulimit -f; ulimit -t; ulimit -n 10; ulimit -n; ulimit -n 11; ulimit -n", "1024\nunlimited\nunlimited\n10\n10\nulimit: -n: cannot modify limit: Operation not permitted\n"},
		{sandbox.Limits{}, "(ulimit -n 10; ulimit -n; sh -c 'ulimit -n'); ulimit -n; f() { ulimit -n 20; }; f; ulimit -n", "10\n10\n1024\n20\n"},
		{sandbox.Limits{}, "ulimit -f 1; head -c 2000 /dev/zero > g; wc -c < g; ulimit -a | grep file", "512\n-f: file size (blocks)   1\n-n: open files           1024\n"},
		{sandbox.Limits{OpenFiles: 77}, "__voidbox_limits='0 9999 0 0 0'; ulimit -n; unset __voidbox_limits; ulimit -n; (ulimit -n) & wait", "77\n77\n77\n"},
		{sandbox.Limits{}, "ulimit -q; ulimit -n x", "ulimit: -q: invalid option\nulimit: x: invalid number\n"},
	} {
		sh(t, s, "rm -rf /tmp/*")
		if got, exit := limited(t, s, c.limits, "cd /tmp; "+c.script); got != c.want {
			t.Errorf("%+v: %s\n got %q, %+v\nwant %q", c.limits, c.script, got, exit, c.want)
		}
	}
}

func TestLimitOfFilesEndsTheCommandBySignal(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	cmd := sandbox.Command{Args: []string{"cp", "/bin/sh", "/tmp/big"}, Limits: sandbox.Limits{FileSizeBytes: 4}}
	exit, err := s.Exec(t.Context(), cmd, sandbox.IO{})
	if err != nil || exit.Code != 153 || exit.Signal != "XFSZ" {
		t.Errorf("cp ended with %+v, %v", exit, err)
	}
}

func TestLimitOfTime(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	limits := sandbox.Limits{CPUTime: 100 * time.Millisecond}
	for _, busy := range []string{"while :; do :; done", "for ((i=1;;)); do ((i++)); done", "i=0; while test $i -ge 0; do i=$((i+1)); done"} {
		if _, exit := limited(t, s, limits, busy); exit.Code != 152 || exit.Signal != "XCPU" {
			t.Errorf("%s ended with %+v", busy, exit)
		}
	}
	if out, exit := limited(t, s, limits, "cat /dev/zero > /dev/null; echo $?"); out != "152\n" || exit.Code != 0 {
		t.Errorf("a busy child: %q, %+v", out, exit)
	}
	if out, exit := limited(t, s, sandbox.Limits{}, "(ulimit -t 1; while :; do :; done); echo $?"); !strings.Contains(out, "152\n") || exit.Code != 0 {
		t.Errorf("ulimit -t: %q, %+v", out, exit)
	}
}

// patience ends what should have ended by itself.
const patience = 2 * time.Minute

// TestMemoryIsBounded runs what would make a shell hold more and more, each in another way.
func TestMemoryIsBounded(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	fill := "x=0123456789; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do x=$x$x; done; " // 80 KiB
	for _, script := range []string{
		"x=x; while :; do x=$x$x; done",
		"x=x; while :; do x+=$x; done",
		"x=x; while :; do x=\"$x $x\"; done",
		"f() { local y=$1$1; f $y; }; f x",
		"f() { x=$x$x; f; }; x=x; f",
		"set -- x; while :; do set -- \"$@\" \"$@\"; done",
		"set -- x; while :; do set -- \"$1$1\"; done",
		"a=(x); while :; do a+=(\"${a[@]}\"); done",
		"a=(x); while :; do a=(\"${a[@]}\" \"${a[@]}\"); done",
		fill + "i=0; while :; do a[i]=$x; i=$((i+1)); x=${x}y; done",
		"declare -A m; i=0; " + fill + "while :; do m[k$i]=$x$i; i=$((i+1)); done",
		fill + "y=${x//0/$x}",
		fill + "echo ${x//0/$x} | wc -c",
		fill + "echo ${x//0/${x//1/$x}} | wc -c",
		fill + "case ${x//0/$x} in *) ;; esac",
		fill + "[[ ${x//0/$x} == y ]]",
		fill + "cat <<< ${x//0/$x} | wc -c",
		fill + "n=x; y=${!n}${!n}; while :; do y=${!n}$y; n=y; done",
		fill + "cat <<end\n${x//0/$x}\nend",
		fill + "for y in ${x//0/$x}; do :; done",
		"i=x; while :; do for i in $i$i; do :; done; done",
		"b=x; while :; do : ${a:=$b$b}; unset b; : ${b:=$a$a}; unset a; done",
		fill + "export y=${x//0/$x}",
		fill + "i=0; while :; do export v$i=$x$i; i=$((i+1)); done",
		fill + "i=0; while :; do eval \"v$i=\\${x}$i\"; i=$((i+1)); done",
		"while :; do x=x$x; x=$(echo $x $x); done",
		"x=$(yes)", "x=$(cat /dev/zero)", fill + "y=$(while :; do echo $x; done)", "x=`yes | cat`", "x=$(sh -c yes)",
		fill + "y=$(while :; do declare -p x; done)",
		fill + "y=${x//0/$(cat /dev/zero)}",
		"head -c 4000000 /dev/zero > big; x=$(<big)",
		"cat /dev/zero | read x",
		"x=x; while :; do read x <<< $x$x; done",
		"x=x; while :; do read x <<end\n$x$x\nend\ndone",
		"i=0; while :; do eval \"f$i() { echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; }\"; i=$((i+1)); done",
		"echo() { f \"$1$1\"; }; f() { echo \"$1\"; }; f x",
		"yes | sort", "cat /dev/zero | sort", "yes | tac", "yes | xargs echo", "cat /dev/zero | base64", "yes | sed s/y/n/", "yes | tail -n 999999999", "yes | sh",
	} {
		t.Run(script, func(t *testing.T) {
			cmd := sandbox.Command{
				Args: []string{"sh", "-c", script + "; echo status $?"}, Limits: sandbox.Limits{MemoryBytes: 1 << 20}, Timeout: patience,
			}
			stdout, stderr, exit, err := sandbox.Output(t.Context(), s, cmd)
			if err != nil || exit.TimedOut || exit.Code == 0 && strings.HasSuffix(string(stdout), "status 0\n") {
				t.Errorf("it ended with %+v, %v, and said %.200q, %.200q", exit, err, stdout, stderr)
			}
		})
	}
}

// TestSharedMemoryIsBounded holds that many shells together hold no more than the machine has.
func TestSharedMemoryIsBounded(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{MemoryBytes: minMemory})
	out := sh(t, s, `x=x; while test ${#x} -lt 2000000; do x=$x$x; done
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do (x=$x; y=$x; sleep 1000) & done; sleep 0.5; echo`)
	if !strings.Contains(out, "out of memory") {
		t.Errorf("twelve shells of 4 MB fit into 16 MiB: %q", out)
	}
	if out := sh(t, s, "x=x; y=$x$x; echo $y"); out != "xx\n" {
		t.Errorf("after them: %q", out)
	}
}
