package monitor

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
)

// process is a program that dies with us.
type process struct {
	cmd    *exec.Cmd
	stderr *tail
	done   chan struct{} // closed when it has ended and its stderr is read
	err    error         // how it ended; set before done is closed
}

// startProcess runs cmd from a thread that lives as long as the program: PR_SET_PDEATHSIG fires when the *thread* that made a
// child ends, not the process. prepare runs on that thread first, and may confine it.
func startProcess(cmd *exec.Cmd, prepare func() error) (*process, error) {
	p := &process{cmd: cmd, stderr: &tail{}, done: make(chan struct{})}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = write
	cmd.SysProcAttr = dieWithParent()
	started := make(chan error)
	go p.run(prepare, read, started)
	err = <-started
	_ = write.Close()
	if err != nil {
		return nil, err
	}
	return p, nil
}

// run never unlocks its thread, which therefore ends with it.
func (p *process) run(prepare func() error, stderr *os.File, started chan<- error) {
	runtime.LockOSThread()
	defer stderr.Close()
	if err := prepare(); err != nil {
		started <- fmt.Errorf("confine QEMU: %w", err)
		return
	}
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_, _ = io.Copy(p.stderr, stderr) // until QEMU has closed it
	p.err = p.cmd.Wait()
	close(p.done)
}

// kill ends it at once. Killing what has ended does nothing.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if extra := len(t.data) - tailSize; extra > 0 {
		t.data = append(t.data[:0], t.data[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.data))
}
