package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/internal/guestconsole"
	"github.com/voidbox-run/voidbox/internal/procusage"
	"github.com/voidbox-run/voidbox/internal/vmlifecycle"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/args"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/jail"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/qemu"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/qmp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// ReasonRefused marks a machine that QEMU itself refused.
const ReasonRefused = "qemu_refused"

// Limits of waiting. They only bound a QEMU that no longer answers; none is part of a normal course.
const (
	greetingLimit = 30 * time.Second
	commandLimit  = 10 * time.Second
	quitLimit     = time.Second
)

// vm is one QEMU and what serves it.
type vm struct {
	accelerator string
	proc        *process
	qmp         *qmp.Client
	ring        *guestconsole.Ring
	devices     lentDevices
	usage       *procusage.Usage

	served sync.WaitGroup // console, lent devices and what steers them

	asked    atomic.Bool // we asked for the end
	mu       sync.Mutex
	reason   string // why QEMU says that it ended
	restarts int    // for want of a timer

	resetting sync.Mutex // held while the machine is reset

	done chan struct{} // closed after Stopped
}

// boot starts QEMU with its vCPUs stopped and agrees with it over QMP. It takes over the devices.
func boot(ctx context.Context, program string, m vmm.Machine, h args.Host, devices lentDevices, onQMP func(*vm, qmp.Event), onLine func(*vm, string)) (_ *vm, err error) {
	v := &vm{accelerator: h.Accelerator, ring: &guestconsole.Ring{}, devices: devices, done: make(chan struct{})}
	w, err := wire(m)
	if err != nil {
		devices.close()
		return nil, err
	}
	v.proc, err = launch(program, m, h, w)
	w.closeInherited()
	if err != nil {
		w.close()
		devices.close()
		return nil, err
	}
	v.usage = procusage.Open(v.proc.cmd.Process.Pid)
	v.served.Go(func() { v.readConsole(w.console, func(line string) { onLine(v, line) }) })
	for i, d := range devices {
		v.served.Go(func() { v.serve(d, w.lent[i]) })
	}
	if err := v.greet(ctx, w.qmp, onQMP); err != nil {
		v.end()
		v.wait()
		return nil, v.explain(err)
	}
	for _, d := range devices {
		if d.carrier != nil {
			v.served.Go(func() { d.carrier.follow(v.qmp) })
		}
	}
	return v, nil
}

func (v *vm) greet(ctx context.Context, conn net.Conn, onQMP func(*vm, qmp.Event)) error {
	ctx, cancel := context.WithTimeout(ctx, greetingLimit)
	defer cancel()
	client, err := qmp.Connect(ctx, conn, func(e qmp.Event) { onQMP(v, e) })
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.qmp = client
	v.mu.Unlock()
	return qemu.CheckVersion(client.Version())
}

// explain puts QEMU's own words in the place of an error that says only that QEMU went away.
func (v *vm) explain(err error) error {
	said := strings.TrimPrefix(v.proc.stderr.String(), "qemu-system-x86_64: ")
	if said == "" || !hungUp(err) {
		return err
	}
	return errdef.New(errdef.ErrInvalid, "QEMU refused the machine: %s", said).WithReason(ReasonRefused)
}

// hungUp tells whether err says that QEMU is gone. A socket that it has left with a command in it is not closed but reset.
func hungUp(err error) bool {
	return errors.Is(err, qmp.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// readConsole moves console output on until QEMU ends. It never stops reading, or the guest would stop at its serial port.
func (v *vm) readConsole(conn net.Conn, onLine func(string)) {
	defer conn.Close()
	defer v.ring.Close()
	_, _ = io.Copy(io.MultiWriter(v.ring, guestconsole.NewLines(onLine)), conn)
}

// powerDown presses the power button and gives the guest its time.
func (v *vm) powerDown(ctx context.Context, grace time.Duration) {
	if grace <= 0 {
		return
	}
	v.asked.Store(true)
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := v.qmp.Do(ctx, "system_powerdown", nil, nil); err != nil {
		return
	}
	select {
	case <-v.proc.done:
	case <-ctx.Done():
	}
}

// end makes QEMU exit: by request, so that disks are written back, and by force where it does not follow.
func (v *vm) end() {
	v.asked.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), quitLimit)
	defer cancel()
	if v.qmp != nil && v.qmp.Do(ctx, "quit", nil, nil) == nil {
		select {
		case <-v.proc.done:
		case <-ctx.Done():
		}
	}
	v.proc.kill()
}

// wait returns when QEMU is gone and all that served it has ended.
func (v *vm) wait() {
	<-v.proc.done
	v.served.Wait()
	if v.qmp != nil {
		<-v.qmp.Done()
	}
	v.devices.close()
	v.usage.Close()
}

// lock confines this process to what the VM needs from now on.
func (m *Monitor) lock(spec vmm.Machine) error {
	if m.confine == nil {
		return nil
	}
	_ = time.Local.String() // loads the time zone, which logs need, while files can be opened
	var dirs []string
	if spec.Vsock != nil {
		dirs = append(dirs, filepath.Dir(spec.Vsock.SocketPath))
	}
	if m.opt.RuntimeDir != "" {
		// The directory goes when the host dies, and the host's own above it when it is empty.
		dirs = append(dirs, filepath.Dir(m.opt.RuntimeDir))
	}
	if err := m.confine(jail.Grants{Dirs: dirs}); err != nil {
		return fmt.Errorf("confine the plugin: %w", err)
	}
	return nil
}

// onQMP remembers why QEMU ends. It runs on the client's goroutine.
func (m *Monitor) onQMP(v *vm, e qmp.Event) {
	switch e.Name {
	case "SHUTDOWN":
		var data struct{ Reason string }
		_ = json.Unmarshal(e.Data, &data)
		v.mu.Lock()
		v.reason = data.Reason
		v.mu.Unlock()
	case "GUEST_PANICKED":
		m.panicked("reported by the guest's panic device")
	}
}

// onConsoleLine finds a panic. Root in the guest can forge one, and gains nothing.
func (m *Monitor) onConsoleLine(v *vm, line string) {
	v.onTimerLine(line)
	if what, found := guestconsole.KernelPanic(line); found {
		m.panicked(what)
	}
}

func (m *Monitor) panicked(detail string) {
	if !m.events.Has(vmm.Panic) {
		m.events.Add(vmm.Event{Kind: vmm.Panic, Detail: detail})
	}
}

// supervise declares the VM stopped once it is, and says why.
func (m *Monitor) supervise(v *vm) {
	defer close(v.done)
	v.wait()
	m.states.Set(vmlifecycle.Stopped) // waits for a call that is under way, whose event comes before ours
	v.mu.Lock()
	reason := v.reason
	v.mu.Unlock()
	switch {
	case reason == "guest-shutdown":
		m.events.Add(vmm.Event{Kind: vmm.PowerOff})
	case m.events.Has(vmm.Panic):
	case reason == "guest-reset":
		m.events.Add(vmm.Event{Kind: vmm.Reset})
	case v.asked.Load():
	default:
		m.events.Add(vmm.Event{Kind: vmm.Failed, Detail: v.obituary(reason)})
	}
	m.events.Add(vmm.Event{Kind: vmm.Stopped})
}

// obituary says how QEMU ended when nobody wanted it to.
func (v *vm) obituary(reason string) string {
	how := "exit status 0"
	if v.proc.err != nil {
		how = v.proc.err.Error()
	}
	if reason != "" {
		how += ", reason " + reason
	}
	if said := v.proc.stderr.String(); said != "" {
		how += ": " + said
	}
	return "QEMU ended unexpectedly: " + how
}
