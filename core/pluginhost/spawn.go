package pluginhost

import (
	"os"
	"os/exec"
	"runtime"
)

// launcher starts processes from one thread that lives as long as the host. Linux sends a child its parent-death signal when
// the thread that forked it ends, and Go ends threads as it likes.
type launcher struct {
	jobs chan func()
	done chan struct{}
}

func newLauncher() *launcher {
	l := &launcher{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		runtime.LockOSThread() // never unlocked: the thread must end with the goroutine
		for job := range l.jobs {
			job()
		}
	}()
	return l
}

// start starts cmd.
func (l *launcher) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	l.jobs <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the thread. Children that still live get their parent-death signal.
func (l *launcher) close() {
	close(l.jobs)
	<-l.done
}

// lifelineFD is the number of the lifeline in a child: the first of exec.Cmd.ExtraFiles.
const lifelineFD = "3"

// scriptPath is the next of them, as the child sees it.
const scriptPath = "/proc/self/fd/4"

// childFiles are the descriptors of a child.
type childFiles struct {
	stdout, stderr, lifeline *os.File
}

// command builds the command that executes an image. Standard input is empty.
func (i *image) command(c candidate, args, env, namespaces []string, files childFiles) *exec.Cmd {
	cmd := &exec.Cmd{
		Path:        i.path,
		Args:        append([]string{c.Path}, args...),
		Env:         env,
		Stdout:      files.stdout,
		Stderr:      files.stderr,
		ExtraFiles:  []*os.File{files.lifeline},
		SysProcAttr: procAttr(namespaces),
	}
	if i.script {
		// The kernel hands the path on to the interpreter, which opens it when all that closes on exec is closed. So the script, unlike
		// a program, has to keep its descriptor.
		cmd.Path, cmd.ExtraFiles = scriptPath, append(cmd.ExtraFiles, i.sealed)
	}
	return cmd
}
