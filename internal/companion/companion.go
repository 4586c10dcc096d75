package companion

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Config says what is started.
type Config struct {
	Program string // path of voidbox; empty means the running one, or the one beside it
	Args    []string
	Env     []string
	Files   []*os.File // that it inherits, from descriptor 3 on; they stay the caller's
}

// Process is a companion that runs. Its owner reads Out to the end and then calls Wait.
type Process struct {
	In  io.WriteCloser // its end is the end of the process
	Out io.Reader

	cmd   *exec.Cmd
	words *lastWords
}

// Start starts a companion, in a process group of its own: Ctrl-C is for who started it.
func Start(cfg Config) (*Process, error) {
	program, err := findProgram(cfg.Program)
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: exec.Command(program, cfg.Args...), words: &lastWords{}}
	p.cmd.Env, p.cmd.Dir, p.cmd.Stderr, p.cmd.ExtraFiles = cfg.Env, "/", p.words, cfg.Files
	if p.cmd.Env == nil {
		p.cmd.Env = []string{} // nil would be our own
	}
	p.cmd.SysProcAttr = ownGroup()
	if p.In, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.Out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// Wait waits for the end, and says how it came about.
func (p *Process) Wait() error {
	err := p.cmd.Wait()
	if err == nil {
		err = errors.New("it exited")
	}
	return fmt.Errorf("%w%s", err, p.words)
}

// Kill ends it at once.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// PID is its process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// findProgram returns the path of voidbox.
func findProgram(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if filepath.Base(self) == "voidbox" {
		return self, nil
	}
	if beside := filepath.Join(filepath.Dir(self), "voidbox"); isFile(beside) {
		return beside, nil
	}
	path, err := exec.LookPath("voidbox")
	if err != nil {
		return "", errdef.New(errdef.ErrNotFound, "the program voidbox, which holds credentials, is neither beside %s nor in PATH", self).
			WithRemedy("put voidbox where its plugins are")
	}
	return path, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// lastWords keep the beginning of what a companion says on standard error.
type lastWords struct{ text []byte }

func (w *lastWords) Write(p []byte) (int, error) {
	w.text = append(w.text, p[:min(len(p), 2048-len(w.text))]...)
	return len(p), nil
}

// String must not be called before the process has been waited for.
func (w *lastWords) String() string {
	if len(w.text) == 0 {
		return ""
	}
	return fmt.Sprintf(": %q", w.text)
}
