package monitor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/vmmachine"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/args"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/jail"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// wiring is what QEMU inherits, and our ends of it.
type wiring struct {
	files   []*os.File // QEMU's, in the order of their numbers
	numbers args.Files
	qmp     *net.UnixConn
	console *net.UnixConn
	lent    []berth // one for each device whose queues QEMU lends us
}

// firstInherited is the number of the first descriptor behind the standard three.
const firstInherited = 3

func wire(m vmm.Machine) (_ *wiring, err error) {
	w := &wiring{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.qmp, w.numbers.QMP, err = w.socket("qmp"); err != nil {
		return nil, err
	}
	if w.console, w.numbers.Console, err = w.socket("console"); err != nil {
		return nil, err
	}
	if m.Vsock != nil {
		if w.numbers.Vsock, err = w.berth("vsock"); err != nil {
			return nil, err
		}
	}
	for _, l := range m.Links {
		if err := w.link(l); err != nil {
			return nil, err
		}
	}
	initrd, err := vmmachine.Initrd(m.Initrd)
	if err != nil {
		return nil, err
	}
	if initrd != nil {
		w.numbers.Initrd = w.inherit(initrd)
	}
	return w, nil
}

func (w *wiring) inherit(f *os.File) int {
	w.files = append(w.files, f)
	return firstInherited + len(w.files) - 1
}

// socket makes a pair of connected sockets and returns our end and the number of QEMU's.
func (w *wiring) socket(name string) (*net.UnixConn, int, error) {
	fds, err := socketpair()
	if err != nil {
		return nil, 0, fmt.Errorf("make a socket pair for %s: %w", name, err)
	}
	number := w.inherit(os.NewFile(uintptr(fds[1]), name))
	ours := os.NewFile(uintptr(fds[0]), name)
	defer ours.Close() // FileConn makes a copy
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, 0, fmt.Errorf("use the socket pair for %s: %w", name, err)
	}
	return conn.(*net.UnixConn), number, nil
}

func socketpair() ([2]int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return fds, err
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return fds, nil
}

// closeInherited lets go of QEMU's ends, so that its death is seen as the end of ours.
func (w *wiring) closeInherited() {
	for _, f := range w.files {
		_ = f.Close()
	}
	w.files = nil
}

func (w *wiring) close() {
	w.closeInherited()
	for _, conn := range []*net.UnixConn{w.qmp, w.console} {
		if conn != nil {
			_ = conn.Close()
		}
	}
	for _, b := range w.lent {
		b.close()
	}
}

// launch starts QEMU with nothing of our environment.
func launch(program string, m vmm.Machine, h args.Host, w *wiring) (*process, error) {
	cmd := exec.Command(program, args.Build(m, h, w.numbers)...)
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.ExtraFiles = w.files
	p, err := startProcess(cmd, func() error { return jail.Thread(readable(program, m)) })
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	if err := limit(p.cmd.Process.Pid); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.kill()
		<-p.done
		return nil, fmt.Errorf("limit QEMU: %w", err)
	}
	return p, nil
}

// readable are the files that QEMU may open: itself with libraries and firmware, wherever a distribution puts them, and what
// the machine names.
func readable(program string, m vmm.Machine) jail.Files {
	f := jail.Files{
		Read: []string{
			"/usr", "/lib", "/lib64", "/bin", "/opt", "/nix/store", "/gnu/store", "/etc/ld.so.cache", "/etc/ld.so.preload",
			"/sys/devices/system/cpu", "/dev/urandom", program, m.KernelPath,
		},
		Write: []string{"/dev/null", "/dev/kvm"},
	}
	for _, d := range m.Disks {
		if d.ReadOnly {
			f.Read = append(f.Read, d.Path)
			continue
		}
		f.Write = append(f.Write, d.Path)
	}
	return f
}

func hostOf(accelerator string, khz uint64) args.Host {
	return args.Host{Arch: runtime.GOARCH, OS: runtime.GOOS, Accelerator: accelerator, TSCKHz: khz}
}
