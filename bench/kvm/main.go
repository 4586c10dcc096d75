// Command kvm measures vmm-kvm beside QEMU's microvm on the same KVM: boot, memory, vsock and block. It runs where KVM is usable,
// on hardware or inside the lab; `make bench-boot` and its like see to that.
//
// Both sides get the same sandbox from core/sandbox, on another monitor each, and take turns.
//
//	kvm -area boot|memory|vsock|block [-rounds N] [-kernel PATH] [-bin DIR] [-disk PATH] [-out FILE]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/voidbox-run/voidbox/bench/kvm/internal/plainqemu"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

func main() {
	var o options
	area := flag.String("area", "boot", "what is measured: boot, memory, vsock or block")
	flag.IntVar(&o.rounds, "rounds", 20, "measurements of each side")
	flag.StringVar(&o.kernel, "kernel", "", "kernel to boot; empty means the one that a sandbox would get")
	flag.StringVar(&o.bin, "bin", "bin", "directory of voidbox-vmm-kvm, the guest agent and bench-vsock-guest")
	flag.StringVar(&o.disk, "disk", "", "block: root disk with fio on it")
	flag.Uint64Var(&o.memory, "memory", 512, "MiB of each guest; the memory area always takes 128")
	out := flag.String("out", "", "file that the table goes into; empty means bench/AREA.json")
	flag.BoolVar(&o.verbose, "v", false, "log")
	flag.Parse()
	if !o.verbose {
		slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	}
	if *out == "" {
		*out = filepath.Join("bench", map[string]string{"memory": "boot"}[*area]+*area+".json")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *area, o, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds  int
	kernel  string
	bin     string
	disk    string
	memory  uint64 // MiB
	verbose bool
}

var areas = map[string]func(context.Context, *bench) ([]benchtable.Row, error){
	"boot": measureBoot, "memory": measureMemory, "vsock": measureVsock, "block": measureBlock,
}

func run(ctx context.Context, area string, o options, out string) (err error) {
	measure := areas[area]
	if measure == nil {
		return fmt.Errorf("area %q is none of boot, memory, vsock and block", area)
	}
	b := &bench{options: o}
	if b.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	if b.images, err = image.OpenCache(""); err != nil {
		return err
	}
	if b.host, err = pluginhost.New(pluginhost.Options{BuiltinDir: b.bin}); err != nil {
		return err
	}
	defer b.host.Close(context.WithoutCancel(ctx))
	rows, err := measure(ctx, b)
	if err != nil {
		return err
	}
	return benchtable.Write(out, rows)
}

// bench is what all areas share.
type bench struct {
	options
	images *image.Cache
	host   *pluginhost.Host
}

// box is a sandbox and the process that monitors it.
type box struct {
	*sandbox.Sandbox
	vmm   vmm.VMM
	pid   int
	took  time.Duration // from nothing to ready
	close func(context.Context) error
}

// A side makes a sandbox on one of the two monitors. wrap may change the machine.
type side func(ctx context.Context, spec sandbox.Spec, wrap func(vmm.VMM) vmm.VMM) (*box, error)

func (b *bench) ours(ctx context.Context, spec sandbox.Spec, wrap func(vmm.VMM) vmm.VMM) (*box, error) {
	start := time.Now()
	plugin, err := b.host.Start(ctx, pluginhost.Request{Kind: base.KindVMM, Name: "kvm", Instance: "bench"})
	if err != nil {
		return nil, err
	}
	made, err := b.boot(ctx, wrap(plugin.VMM()), plugin.RuntimeDir(), spec)
	if err != nil {
		return nil, errors.Join(err, plugin.Close(context.WithoutCancel(ctx)))
	}
	made.took, made.pid, made.vmm = time.Since(start), plugin.PID(), plugin.VMM()
	made.close = func(ctx context.Context) error { return errors.Join(made.Sandbox.Close(ctx), plugin.Close(ctx)) }
	return made, nil
}

func (b *bench) peer(ctx context.Context, spec sandbox.Spec, wrap func(vmm.VMM) vmm.VMM) (*box, error) {
	start := time.Now()
	qemu := plainqemu.New(plainqemu.Options{GuestPorts: []uint32{announcePort, benchPort}})
	made, err := b.boot(ctx, wrap(qemu), "", spec)
	if err != nil {
		return nil, errors.Join(err, qemu.Stop(ctx, 0))
	}
	made.took, made.pid, made.vmm = time.Since(start), qemu.PID(), qemu
	made.close = made.Sandbox.Close
	return made, nil
}

const (
	announcePort = 1025 // where core/sandbox hears the agent's first words
	benchPort    = 7000
	peerName     = "QEMU microvm, KVM"
)

func (b *bench) boot(ctx context.Context, monitor vmm.VMM, dir string, spec sandbox.Spec) (*box, error) {
	spec.Kernel, spec.ReadyTimeout = b.kernel, 2*time.Minute
	if spec.MemoryBytes == 0 {
		spec.MemoryBytes = b.memory << 20
	}
	made, err := sandbox.NewVM(ctx, sandbox.VMConfig{
		VMM: monitor, Images: b.images, Dir: dir, Agent: filepath.Join(b.bin, image.AgentName), Spec: spec,
	})
	return &box{Sandbox: made}, err
}

func asIs(m vmm.VMM) vmm.VMM { return m }

// turns runs fn on both sides by turns, once more than rounds, since the first round warms caches and does not count.
func (b *bench) turns(ctx context.Context, rounds int, spec sandbox.Spec, wrap func(vmm.VMM) vmm.VMM, fn func(ours bool, count bool, box *box) error) error {
	for round := range rounds + 1 {
		for _, s := range []struct {
			ours bool
			make side
		}{{true, b.ours}, {false, b.peer}} {
			made, err := s.make(ctx, spec, wrap)
			if err != nil {
				return fmt.Errorf("round %d, ours %v: %w", round, s.ours, err)
			}
			err = fn(s.ours, round > 0, made)
			if err := errors.Join(err, made.close(context.WithoutCancel(ctx))); err != nil {
				return fmt.Errorf("round %d, ours %v: %w", round, s.ours, err)
			}
		}
	}
	return nil
}
