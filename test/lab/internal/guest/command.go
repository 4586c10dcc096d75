package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/voidbox-run/voidbox/test/lab/internal/wire"
	"golang.org/x/sys/unix"
)

// searchPath is where commands are looked for: among the host's files first.
const searchPath = FilesDir + ":" + FilesDir + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// command is one that runs.
type command struct {
	host     *wire.Writer
	pid      int
	ended    chan syscall.WaitStatus // from the reaper
	input    io.WriteCloser
	terminal *os.File // our side of its terminal, or nil
	outputs  sync.WaitGroup
}

// startCommand starts spec. Its end is reported to the host.
func startCommand(spec wire.Command, host *wire.Writer, children *reaper) (*command, error) {
	if len(spec.Args) == 0 {
		return nil, errors.New("no command")
	}
	_ = os.Setenv("PATH", searchPath)
	_ = os.Setenv("HOME", "/root")
	cmd := exec.Command(spec.Args[0], spec.Args[1:]...)
	cmd.Dir, cmd.Env = spec.Dir, append(os.Environ(), spec.Env...)
	if cmd.Dir == "" {
		cmd.Dir = FilesDir
	}
	c := &command{host: host}
	connect := c.connectPipes
	if spec.Terminal {
		connect = func(cmd *exec.Cmd) ([]*os.File, error) { return c.connectTerminal(cmd, spec.Size) }
	}
	theirs, err := connect(cmd)
	if err == nil {
		c.ended, err = children.start(cmd)
	}
	for _, f := range theirs {
		_ = f.Close()
	}
	if err != nil {
		return nil, err
	}
	c.pid = cmd.Process.Pid
	go c.wait()
	return c, nil
}

// connectPipes gives cmd its three streams. It returns the ends that are cmd's.
func (c *command) connectPipes(cmd *exec.Cmd) ([]*os.File, error) {
	var read, write [3]*os.File
	for i := range read {
		var err error
		if read[i], write[i], err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read[0], write[1], write[2]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.input = write[0]
	c.forward(wire.Output, read[1])
	c.forward(wire.Errors, read[2])
	return []*os.File{read[0], write[1], write[2]}, nil
}

func (c *command) connectTerminal(cmd *exec.Cmd, size wire.Size) ([]*os.File, error) {
	ours, theirs, err := openTerminal()
	if err != nil {
		return nil, err
	}
	_ = setSize(ours, size)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	c.terminal, c.input = ours, ours
	c.forward(wire.Output, ours)
	return []*os.File{theirs}, nil
}

func (c *command) forward(kind wire.Kind, from *os.File) {
	c.outputs.Go(func() {
		_, _ = io.Copy(c.host.Stream(kind), from)
		_ = from.Close()
	})
}

// wait reports the command's end once all its output is on its way. Processes that it left behind are killed: they would
// hold its streams open, and disturb what comes next.
func (c *command) wait() {
	ended := <-c.ended
	_ = syscall.Kill(-1, syscall.SIGKILL)
	c.outputs.Wait()
	status := wire.Status{Code: ended.ExitStatus()}
	if ended.Signaled() {
		status.Signal, status.Code = int(ended.Signal()), 128+int(ended.Signal())
	}
	unix.Sync()
	_ = c.host.WriteJSON(wire.Exit, status)
}

// control hands on what the host sends while the command runs. What comes too late goes nowhere.
func (c *command) control(kind wire.Kind, body []byte) {
	switch {
	case kind == wire.Resize && c.terminal != nil:
		var size wire.Size
		if json.Unmarshal(body, &size) == nil {
			_ = setSize(c.terminal, size)
		}
	case kind == wire.Signal && len(body) == 1:
		_ = syscall.Kill(-c.pid, syscall.Signal(body[0]))
	case kind == wire.Input && len(body) > 0:
		_, _ = c.input.Write(body)
	case kind == wire.Input && c.terminal == nil:
		_ = c.input.Close()
	}
}

func openTerminal() (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/pts/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("terminal: %w", err), ours.Close())
	}
	return ours, theirs, nil
}

func setSize(terminal *os.File, s wire.Size) error {
	return unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Rows, Col: s.Columns})
}
