// Package plainqemu is QEMU's microvm with KVM as one would start it by hand, behind the VMM contract, so that benchmarks can put
// the same sandbox on it and on vmm-kvm. It is a peer and no plugin: no QMP, no jail, no events but the end.
//
// Its vsock device is vhost-vsock, bridged to a unix socket with the CONNECT convention that every monitor of ours has.
package plainqemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Options choose what is compared.
type Options struct {
	// CommandLine comes before the machine's own; empty means the one of vmm-kvm.
	CommandLine string
	// GuestPorts are the host ports that the guest may connect to.
	GuestPorts []uint32
}

// VMM is one QEMU. It implements vmm.VMM as far as a benchmark needs it.
type VMM struct {
	opt     Options
	cmd     *exec.Cmd
	initrd  string
	bridge  *bridge
	console *os.File // of the guest, for us to read
	ended   chan struct{}
	stop    sync.Once
}

// New returns a VMM without a VM.
func New(opt Options) *VMM { return &VMM{opt: opt, ended: make(chan struct{})} }

const defaultCommandLine = "console=ttyS0 loglevel=5 panic=-1 reboot=t rcupdate.rcu_expedited=1"

// Create implements vmm.VMM: it prepares, and starts nothing.
func (v *VMM) Create(_ context.Context, m vmm.Machine) (vmm.Created, error) {
	if v.opt.CommandLine == "" {
		v.opt.CommandLine = defaultCommandLine
	}
	initrd, err := concatenate(m.Initrd)
	if err != nil {
		return vmm.Created{}, err
	}
	v.initrd = initrd
	v.cmd = exec.Command("qemu-system-x86_64", v.args(m)...)
	v.cmd.Stderr = os.Stderr
	ours, theirs, err := os.Pipe()
	if err != nil {
		return vmm.Created{}, err
	}
	v.console, v.cmd.Stdout = ours, theirs
	if m.Vsock != nil {
		if v.bridge, err = newBridge(m.Vsock, v.opt.GuestPorts); err != nil {
			return vmm.Created{}, err
		}
	}
	return vmm.Created{Accelerator: "kvm", Monitor: "QEMU, by hand"}, nil
}

func (v *VMM) args(m vmm.Machine) []string {
	a := []string{
		"-M", "microvm,acpi=on,rtc=on,pit=off,pic=off", "-accel", "kvm", "-cpu", "host", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-smp", fmt.Sprint(m.CPUs), "-m", fmt.Sprintf("%dB", m.MemoryBytes), "-serial", "stdio",
		"-global", "virtio-mmio.force-legacy=false",
		"-kernel", m.KernelPath, "-initrd", v.initrd, "-append", strings.TrimSpace(v.opt.CommandLine + " " + m.CommandLine),
		"-object", "rng-builtin,id=rng", "-device", "virtio-rng-device,rng=rng",
	}
	if m.Vsock != nil {
		a = append(a, "-device", fmt.Sprintf("vhost-vsock-device,guest-cid=%d", m.Vsock.GuestCID))
	}
	for i, d := range m.Disks {
		readOnly := "off"
		if d.ReadOnly {
			readOnly = "on"
		}
		a = append(a,
			"-blockdev", fmt.Sprintf("driver=raw,node-name=disk%d,read-only=%s,file.driver=%s,file.filename=%s", i, readOnly, driver(d.Path), d.Path),
			"-device", fmt.Sprintf("virtio-blk-device,drive=disk%d,serial=%s", i, d.ID))
	}
	return a
}

// driver is QEMU's for what lies at path.
func driver(path string) string {
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeDevice != 0 {
		return "host_device"
	}
	return "file"
}

// concatenate writes the segments into one file, since QEMU takes one.
func concatenate(segments []vmm.Segment) (string, error) {
	out, err := os.CreateTemp("", "initrd-*")
	if err != nil {
		return "", err
	}
	defer out.Close()
	for _, s := range segments {
		content := s.Content
		if s.Path != "" {
			if content, err = os.ReadFile(s.Path); err != nil {
				return "", err
			}
		}
		if _, err := out.Write(append(content, make([]byte, -len(content)&511)...)); err != nil {
			return "", err
		}
	}
	return out.Name(), nil
}

// Start implements vmm.VMM.
func (v *VMM) Start(context.Context) error {
	if err := v.cmd.Start(); err != nil {
		return err
	}
	_ = v.cmd.Stdout.(io.Closer).Close()
	go func() {
		_ = v.cmd.Wait()
		close(v.ended)
	}()
	return nil
}

// PID returns the process id of QEMU, once started.
func (v *VMM) PID() int { return v.cmd.Process.Pid }

// Stop implements vmm.VMM.
func (v *VMM) Stop(context.Context, time.Duration) error {
	v.stop.Do(func() {
		if v.cmd != nil && v.cmd.Process != nil {
			_ = v.cmd.Process.Kill()
			<-v.ended
		}
		if v.bridge != nil {
			v.bridge.close()
		}
		_ = os.Remove(v.initrd)
	})
	return nil
}

// Watch implements vmm.VMM.
func (v *VMM) Watch(ctx context.Context, fn func(vmm.Event) error) error {
	select {
	case <-v.ended:
		return errors.Join(fn(vmm.Event{Kind: vmm.PowerOff}), fn(vmm.Event{Kind: vmm.Stopped}))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Console implements vmm.VMM. There is one reader.
func (v *VMM) Console(_ context.Context, _ bool, fn func([]byte, uint64) error) error {
	defer v.console.Close()
	buf := make([]byte, 4096)
	for {
		n, err := v.console.Read(buf)
		if n > 0 {
			if err := fn(buf[:n], 0); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

var errPeer = errdef.New(errdef.ErrUnsupported, "a peer in a benchmark does not do this")

// Pause implements vmm.VMM.
func (v *VMM) Pause(context.Context) error { return errPeer }

// Resume implements vmm.VMM.
func (v *VMM) Resume(context.Context) error { return errPeer }

// Snapshot implements vmm.VMM.
func (v *VMM) Snapshot(context.Context, string) error { return errPeer }

// Restore implements vmm.VMM.
func (v *VMM) Restore(context.Context, string, vmm.Wires, []vmm.Disk) error { return errPeer }

// Relink implements vmm.VMM.
func (v *VMM) Relink(context.Context, vmm.Link) error { return errPeer }

// Metrics implements vmm.VMM.
func (v *VMM) Metrics(context.Context) (map[string]uint64, error) { return nil, errPeer }

var _ vmm.VMM = (*VMM)(nil)

// hostSocket is where a connection of the guest to a port arrives.
func hostSocket(path string, port uint32) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf("%s_%d", filepath.Base(path), port))
}
