package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// VMConfig says what a VM is made with. VMM and Images are mandatory.
type VMConfig struct {
	VMM    vmm.VMM // a monitor of its own
	Images *image.Cache
	// Dir is a private directory for sockets; its path has at most 80 bytes or so. Empty means one of our own, which goes with
	// the VM. The monitor's runtime directory is a good one, for it goes even when this process is killed.
	Dir string
	// Agent is the path of the guest agent; empty means the one beside the running program.
	Agent string
	Spec  Spec
	// Links are the devices behind which plugins are. Their plugins run already.
	Links []vmm.Link
	// Progress is told of each stage that is reached, from one goroutine at a time; nil is told nothing.
	Progress func(Stage)
	Logger   *slog.Logger // nil means slog.Default
}

// Stage is how far a boot has come. Beside the constants there is one for each stage of the agent, "agent: <boot.Stage>".
type Stage string

// Stages, in order.
const (
	StageImage  Stage = "image"  // kernel and initramfs are resolved or built
	StageCreate Stage = "create" // the monitor makes the VM
	StageKernel Stage = "kernel" // the VM runs; nothing was heard from the agent yet
	StageAnswer Stage = "answer" // the agent serves
	StageReady  Stage = "ready"  // it has answered
)

func agentStage(s boot.Stage) Stage { return Stage("agent: " + string(s)) }

// guestCID is every guest's own address: each VM has a socket device of its own, so that they cannot meet.
const guestCID = 3

// NewVM boots a VM and returns when its agent has answered. A boot that fails is a *BootError; an error of another type means
// that the VM could not be made at all. The caller closes the sandbox, before the monitor's plugin.
func NewVM(ctx context.Context, cfg VMConfig) (_ *Sandbox, err error) {
	cfg.Spec = cfg.Spec.withDefaults()
	if cfg.Progress == nil {
		cfg.Progress = func(Stage) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Logger = cfg.Logger.With("vm", cfg.Spec.Name)
	cfg.Progress(StageImage)
	parts, err := resolve(ctx, cfg)
	if err != nil {
		return nil, err
	}
	// Once the monitor has the disk open, or will not have it, its name has served its purpose, and nobody can leave it behind.
	defer func() { err = errors.Join(err, parts.root.scratch.Remove()) }()
	g, err := newGuest(cfg)
	if err != nil {
		return nil, err
	}
	if err := g.create(ctx, parts); err != nil {
		g.remove()
		return nil, err
	}
	if failed := g.boot(ctx); failed != nil {
		return nil, g.fail(failed)
	}
	cfg.Progress(StageReady)
	return &Sandbox{Sandbox: g.agent, made: g}, nil
}

// parts are the files of a machine.
type parts struct {
	kernel    image.Kernel
	initramfs string
	root      rootfs
}

func resolve(ctx context.Context, cfg VMConfig) (p parts, err error) {
	p.kernel, err = cfg.Images.Kernel(ctx, image.KernelRequest{Path: cfg.Spec.Kernel, Initrd: cfg.Spec.Initrd})
	if err != nil {
		return p, fmt.Errorf("kernel: %w", err)
	}
	contents := image.Base
	if !cfg.Spec.base() {
		contents = image.Minimal
	}
	p.initramfs, err = cfg.Images.Initramfs(ctx, image.InitramfsSpec{Kernel: p.kernel, Agent: cfg.Agent, Contents: contents})
	if err != nil {
		return p, fmt.Errorf("initramfs: %w", err)
	}
	p.root, err = resolveRoot(ctx, cfg.Images, cfg.Spec)
	return p, err
}

// newGuest prepares the host's side of a VM.
func newGuest(cfg VMConfig) (*guest, error) {
	g := &guest{cfg: cfg, dir: cfg.Dir, signals: make(chan signal), booted: make(chan struct{}), ended: make(chan struct{})}
	if g.dir == "" {
		dir, err := os.MkdirTemp("", "voidbox-vm-")
		if err != nil {
			return nil, fmt.Errorf("make a directory for sockets: %w", err)
		}
		g.dir, g.ownDir = dir, true
	}
	g.socket = filepath.Join(g.dir, socketName)
	return g, nil
}

// machine describes the VM to the monitor. It is the last moment to look at the clock.
func (g *guest) machine(p parts) (vmm.Machine, error) {
	spec := g.cfg.Spec
	config, err := spec.bootConfig(time.Now(), p.root)
	if err != nil {
		return vmm.Machine{}, err
	}
	g.token = config.Token
	segment, err := bootSegment(config)
	if err != nil {
		return vmm.Machine{}, err
	}
	if len(segment) > vmm.MaxSegmentContent {
		return vmm.Machine{}, errdef.New(errdef.ErrInvalid, "the boot configuration has %d bytes, at most %d are allowed",
			len(segment), vmm.MaxSegmentContent).WithRemedy("shorten env in the sandbox block")
	}
	m := vmm.Machine{
		Name:        machineName(spec.Name),
		KernelPath:  p.kernel.Path,
		Initrd:      []vmm.Segment{{Path: p.initramfs}, {Content: segment}},
		CommandLine: spec.CommandLine,
		CPUs:        spec.CPUs,
		MemoryBytes: spec.MemoryBytes,
		Wires:       vmm.Wires{Vsock: &vmm.Vsock{GuestCID: guestCID, SocketPath: g.socket}, Links: g.cfg.Links},
		Accelerator: spec.Accelerator,
	}
	if p.root.disk != "" {
		m.Disks = []vmm.Disk{{ID: rootSerial, Path: p.root.disk, ReadOnly: true}}
	}
	if p.root.scratch != nil {
		m.Disks = append(m.Disks, vmm.Disk{ID: scratchSerial, Path: p.root.scratch.Path})
	}
	return m, nil
}

// create makes the VM and everything on this side of it; nothing runs yet.
func (g *guest) create(ctx context.Context, p parts) error {
	g.cfg.Progress(StageCreate)
	if p.root.image != nil {
		g.image = p.root.image.ID
	}
	m, err := g.machine(p)
	if err != nil {
		return err
	}
	if g.conn, err = Connect(g.socket); err != nil {
		return fmt.Errorf("client of the guest agent: %w", err)
	}
	g.agent = sandbox.NewClient(g.conn, g.token)
	if g.announced, err = listenAnnouncements(g.socket, func(a boot.Announcement) { g.tell(signal{announced: &a}) }); err != nil {
		return err
	}
	if g.created, err = g.cfg.VMM.Create(ctx, m); err != nil {
		return fmt.Errorf("create the VM: %w", err)
	}
	g.cfg.Logger.Debug("VM created", "accelerator", g.created.Accelerator, "monitor", g.created.Monitor)
	return nil
}
