//go:build linux

package posix

import (
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// as calls fn as another user, of one group. Credentials are a thread's, and so the thread ends with it.
func (t *T) as(uid, gid int, fn func()) {
	var failure any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { failure = recover() }()
		runtime.LockOSThread() // and never unlocked
		t.must(setIDs(uid, gid))
		fn()
	}()
	<-done
	if failure != nil {
		panic(failure)
	}
}

// setIDs changes who the calling thread is. The C library would do it for all threads.
func setIDs(uid, gid int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return errno
	}
	return nil
}

// childVariable names what a process of ours is to do in the place of running cases.
const childVariable = "POSIX_CHILD"

// child has another process do one of children's things, and returns what it says.
func (t *T) child(args ...string) string {
	cmd := exec.Command("/proc/self/exe", args[1:]...)
	cmd.Env = append(os.Environ(), childVariable+"="+args[0])
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.fatalf("child %s: %v", args[0], err)
	}
	return strings.TrimSpace(string(out))
}

// children are what other processes do.
var children = map[string]func(args []string) string{}

// Child does what a case wants of another process, and tells whether it was asked for that. It is to be called first of all.
func Child() (string, bool) {
	do := children[os.Getenv(childVariable)]
	if do == nil {
		return "", false
	}
	return do(os.Args[1:]), true
}

// said is an error as a child tells it.
func said(err error) string {
	if err == nil {
		return "ok"
	}
	if errno, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// run runs a program that is a copy of ourselves.
func (t *T) run(name string, args ...string) string {
	cmd := exec.Command(t.at(name), args[1:]...)
	cmd.Env = append(os.Environ(), childVariable+"="+args[0])
	out, err := cmd.Output()
	t.must(err)
	return strings.TrimSpace(string(out))
}

// start starts one that waits until end is called.
func (t *T) start(name string, args ...string) (end func()) {
	cmd := exec.Command(t.at(name), args[1:]...)
	cmd.Env = append(os.Environ(), childVariable+"="+args[0])
	in, err := cmd.StdinPipe()
	t.must(err)
	out, err := cmd.StdoutPipe()
	t.must(err)
	t.must(cmd.Start())
	_, err = out.Read(make([]byte, 1)) // it runs
	t.must(err)
	return func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
}

func init() {
	children["said"] = func([]string) string { return "hello" }
	children["wait"] = func([]string) string {
		_, _ = os.Stdout.WriteString("ready\n")
		_, _ = os.Stdin.Read(make([]byte, 1))
		return ""
	}
}
