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

// childFiles are the descriptors of a child.
type childFiles struct {
	stdout, stderr, lifeline *os.File
}

// command builds the command that executes an image. Standard input is empty.
func (i *image) command(c candidate, args, env, namespaces []string, files childFiles) *exec.Cmd {
	return &exec.Cmd{
		Path:        i.path,
		Args:        append([]string{c.Path}, args...),
		Env:         env,
		Stdout:      files.stdout,
		Stderr:      files.stderr,
		ExtraFiles:  []*os.File{files.lifeline},
		SysProcAttr: procAttr(namespaces),
	}
}
