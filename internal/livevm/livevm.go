// Package livevm boots sandboxes as a run does, one plugin process a VM, for benchmarks and for tests of endurance: programs that
// want a VM on a monitor by name, and then to look at the process behind it.
package livevm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Launcher starts monitors from one directory of plugins.
type Launcher struct {
	Images *image.Cache
	bin    string
	host   *pluginhost.Host
}

// New returns a launcher for the plugins and the guest agent in bin. The caller closes it.
func New(bin string) (*Launcher, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	images, err := image.OpenCache("")
	if err != nil {
		return nil, err
	}
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: bin})
	if err != nil {
		return nil, err
	}
	return &Launcher{Images: images, bin: bin, host: host}, nil
}

// Close ends what is left of the monitors.
func (l *Launcher) Close(ctx context.Context) { l.host.Close(ctx) }

// Agent is the path of the guest agent.
func (l *Launcher) Agent() string { return filepath.Join(l.bin, image.AgentName) }

// Request says what is booted.
type Request struct {
	Monitor  string // name of a VMM plugin
	Settings []byte // of its block, as JSON; may be nil
	Spec     sandbox.Spec
	Disks    []vmm.Disk                // beside what the sandbox has
	Kernel   string                    // what the monitor gets in the place of the kernel that core has unpacked; may be empty
	Progress func(stage sandbox.Stage) // may be nil
}

// VM is a sandbox that has answered, and its monitor.
type VM struct {
	*sandbox.Sandbox
	Monitor vmm.VMM
	PID     int           // of the monitor
	Took    time.Duration // from nothing to the agent's answer
	Finding time.Duration // of that, finding or building kernel and initramfs
	plugin  *pluginhost.Instance
}

// StagePlugin is reached when the monitor's plugin has been started.
const StagePlugin sandbox.Stage = "plugin"

// Boot starts a monitor and a VM on it.
func (l *Launcher) Boot(ctx context.Context, r Request) (*VM, error) {
	start := time.Now()
	plugin, err := l.host.Start(ctx, pluginhost.Request{Kind: base.KindVMM, Name: r.Monitor, Instance: "vm", Config: r.Settings})
	if err != nil {
		return nil, err
	}
	vm := &VM{Monitor: plugin.VMM(), PID: plugin.PID(), plugin: plugin}
	finding := time.Now()
	progress := func(stage sandbox.Stage) {
		if stage == sandbox.StageCreate {
			vm.Finding = time.Since(finding)
		}
		if r.Progress != nil {
			r.Progress(stage)
		}
	}
	progress(StagePlugin)
	monitor := plugin.VMM()
	monitor = &WithDisks{VMM: monitor, Disks: r.Disks}
	if r.Kernel != "" {
		monitor = &withKernel{VMM: monitor, path: r.Kernel}
	}
	box, err := sandbox.NewVM(ctx, sandbox.VMConfig{
		VMM: monitor, Images: l.Images, Dir: plugin.RuntimeDir(), Agent: l.Agent(), Spec: r.Spec, Progress: progress,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boot on %s: %w", r.Monitor, err), plugin.Close(context.WithoutCancel(ctx)))
	}
	vm.Sandbox, vm.Took = box, time.Since(start)
	return vm, nil
}

// Close shuts the sandbox down and ends its monitor.
func (v *VM) Close(ctx context.Context) error {
	return errors.Join(v.Sandbox.Close(ctx), v.plugin.Close(ctx))
}

// WithDisks adds disks to whatever machine is made.
type WithDisks struct {
	vmm.VMM
	Disks []vmm.Disk
}

// Create implements vmm.VMM.
func (w *WithDisks) Create(ctx context.Context, m vmm.Machine) (vmm.Created, error) {
	m.Disks = append(m.Disks, w.Disks...)
	return w.VMM.Create(ctx, m)
}

// withKernel makes every machine boot the file as it is.
type withKernel struct {
	vmm.VMM
	path string
}

// Create implements vmm.VMM.
func (w *withKernel) Create(ctx context.Context, m vmm.Machine) (vmm.Created, error) {
	m.KernelPath = w.path
	return w.VMM.Create(ctx, m)
}
