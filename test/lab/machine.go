package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a QEMU that runs. Its sockets are those of PID 1's port, of the console and of QEMU's monitor.
type machine struct {
	cmd                       *exec.Cmd
	control, console, monitor *os.File
	said                      *tail        // by the console
	complaints                *tail        // QEMU's
	heard                     atomic.Int64 // when the console last said something: nanoseconds since began
	began                     time.Time
	done                      chan struct{} // closed when QEMU has ended and the console is read
	err                       error         // how it ended; set before done is closed
}

// startMachine runs qemu with the given command line, in which initrd and the sockets have their numbers.
func startMachine(qemu string, args []string, initrd *os.File, console io.Writer) (*machine, error) {
	m := &machine{said: &tail{}, complaints: &tail{}, began: time.Now(), done: make(chan struct{})}
	m.cmd = exec.Command(qemu, args...)
	m.cmd.Stderr = m.complaints
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, ours := range []**os.File{&m.control, &m.console, &m.monitor} {
		theirs, err := socketpair(ours)
		if err != nil {
			m.closeSockets()
			return nil, err
		}
		defer theirs.Close()
		m.cmd.ExtraFiles = append(m.cmd.ExtraFiles, theirs)
	}
	m.cmd.ExtraFiles = append(m.cmd.ExtraFiles, initrd)
	started := make(chan error)
	go m.run(started, io.MultiWriter(m.said, console))
	if err := <-started; err != nil {
		m.closeSockets()
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	return m, nil
}

// run owns the process. Its thread is QEMU's parent, whose end kills QEMU (PR_SET_PDEATHSIG), so it is kept until then.
func (m *machine) run(started chan<- error, console io.Writer) {
	runtime.LockOSThread()
	err := m.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	var reader sync.WaitGroup
	reader.Go(func() { _, _ = io.Copy(console, hearing{m}) })
	m.err = m.cmd.Wait()
	reader.Wait()
	close(m.done)
}

// hearing reads the console and notes when it said something.
type hearing struct{ m *machine }

func (h hearing) Read(p []byte) (int, error) {
	n, err := h.m.console.Read(p)
	h.m.heard.Store(int64(time.Since(h.m.began)))
	return n, err
}

// quiet returns for how long the console has said nothing.
func (m *machine) quiet() time.Duration {
	return time.Since(m.began) - time.Duration(m.heard.Load())
}

// kill ends QEMU at once, and waits for that.
func (m *machine) kill() {
	_ = m.cmd.Process.Kill()
	<-m.done
}

// interrupt has a kernel that is stuck say where: it panics on an NMI without a cause, and QEMU ends with it.
func (m *machine) interrupt(patience time.Duration) {
	_, _ = m.monitor.WriteString("nmi\n")
	select {
	case <-m.done:
	case <-time.After(patience):
	}
	m.kill()
}

func (m *machine) closeSockets() {
	for _, f := range []*os.File{m.control, m.console, m.monitor} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// socketpair sets ours to the pollable end of a pair and returns the other, for a child.
func socketpair(ours **os.File) (theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	*ours = os.NewFile(uintptr(fds[0]), "lab")
	return os.NewFile(uintptr(fds[1]), "qemu"), nil
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailSize = 64 << 10

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
	return strings.TrimSpace(string(bytes.ReplaceAll(t.data, []byte("\r\n"), []byte("\n"))))
}
