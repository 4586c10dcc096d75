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

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/test/lab/internal/guest"
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

// Descriptors as QEMU has them, in the order of ExtraFiles.
const (
	controlFD = 3 + iota
	consoleFD
	monitorFD
	initrdFD
)

func startMachine(cfg Config, qemu string, kernel image.Kernel, initrd *os.File) (*machine, error) {
	m := &machine{said: &tail{}, complaints: &tail{}, began: time.Now(), done: make(chan struct{})}
	m.cmd = exec.Command(qemu, arguments(cfg, kernel)...)
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
	go m.run(started, io.MultiWriter(m.said, cfg.Console))
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

// arguments is QEMU's command line: an AMD machine with nested virtualization, all of it emulated.
func arguments(cfg Config, kernel image.Kernel) []string {
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-M", "q35,accel=tcg,usb=off,vmport=off,smbus=off", "-cpu", "max,+svm,+npt",
		"-smp", fmt.Sprint(cfg.CPUs), "-m", fmt.Sprint(cfg.MemoryMiB),
		"-kernel", kernel.Path, "-initrd", fmt.Sprintf("/proc/self/fd/%d", initrdFD), "-append", commandLine,
		"-chardev", fmt.Sprintf("socket,id=console,fd=%d", consoleFD), "-serial", "chardev:console",
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", monitorFD), "-mon", "chardev=monitor,mode=readline",
		"-chardev", fmt.Sprintf("socket,id=control,fd=%d", controlFD),
		"-device", "virtio-serial-pci,max_ports=2", "-device", "virtserialport,chardev=control,nr=1",
	}
	if cfg.Disk != "" {
		args = append(args, "-drive", drive(Drive{Path: cfg.Disk}))
	}
	for _, d := range cfg.Drives {
		args = append(args, "-drive", drive(d))
	}
	return args
}

func drive(d Drive) string {
	snapshot := "on"
	if d.Writable {
		snapshot = "off"
	}
	return "if=virtio,format=raw,snapshot=" + snapshot + ",file=" + strings.ReplaceAll(d.Path, ",", ",,")
}

// commandLine is the kernel's. What it does not know goes into the environment of PID 1. The kernel talks as it boots, which
// costs nothing that can be measured: until PID 1 is up it is the only sign of life. On a busy host an emulated timer can miss
// the moment in which the kernel tests it; without no_timer_check a boot then hangs now and then.
//
// kvm.tsc_tolerance_ppm: the kernel first guesses the frequency of the TSC, and KVM that is built in keeps the guess. Here the guess is
// 700 ppm off what is measured later, more than KVM's usual 250; the TSC of every vCPU would then need scaling, which this CPU cannot
// do, and KVM would give the guest's TSC a factor of 0: timers with a TSC deadline would come late by the lab's own age.
const commandLine = "console=ttyS0 panic=-1 unknown_nmi_panic=1 no_timer_check random.trust_cpu=on kvm.tsc_tolerance_ppm=50000 " + guest.Env + "=1"

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
