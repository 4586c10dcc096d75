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
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/bench/kvm/internal/plainqemu"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/livevm"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/test/lab"
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
	flag.IntVar(&o.seconds, "seconds", 4, "block: length of each job")
	flag.BoolVar(&o.verbose, "v", false, "log")
	flag.Parse()
	slog.SetLogLoggerLevel(slog.LevelDebug)
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
	seconds int
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
	launcher, err := livevm.New(o.bin)
	if err != nil {
		return err
	}
	defer launcher.Close(context.WithoutCancel(ctx))
	b := &bench{options: o, launcher: launcher}
	rows, err := measure(ctx, b)
	if err != nil {
		return err
	}
	return benchtable.Write(out, rows)
}

// bench is what all areas share.
type bench struct {
	options
	launcher *livevm.Launcher
	steps    livevm.Steps // of our boots
}

const (
	announcePort = 1025 // where core/sandbox hears the agent's first words
	benchPort    = 7000
	peerName     = "QEMU microvm, KVM"
)

// box is a sandbox and the process that monitors it.
type box struct {
	*sandbox.Sandbox
	vmm   vmm.VMM
	pid   int
	took  time.Duration // from the start of the monitor to ready; finding kernel and initramfs, which is the core's, left out
	close func(context.Context) error
}

// A side makes a sandbox on one of the two monitors, with further disks.
type side func(context.Context, sandbox.Spec, []vmm.Disk) (*box, error)

func (b *bench) ours(ctx context.Context, spec sandbox.Spec, disks []vmm.Disk) (*box, error) {
	b.steps.Begin()
	vm, err := b.launcher.Boot(ctx, livevm.Request{Monitor: "kvm", Spec: spec, Disks: disks, Progress: b.steps.Reached})
	if err != nil {
		return nil, err
	}
	return &box{Sandbox: vm.Sandbox, vmm: vm.Monitor, pid: vm.PID, took: vm.Took - vm.Finding, close: vm.Close}, nil
}

func (b *bench) peer(ctx context.Context, spec sandbox.Spec, disks []vmm.Disk) (*box, error) {
	var create time.Time
	qemu := plainqemu.New(plainqemu.Options{GuestPorts: []uint32{announcePort, benchPort}})
	made, err := sandbox.NewVM(ctx, sandbox.VMConfig{
		VMM: &livevm.WithDisks{VMM: qemu, Disks: disks}, Images: b.launcher.Images, Agent: b.launcher.Agent(), Spec: spec,
		Progress: func(s sandbox.Stage) {
			if s == sandbox.StageCreate {
				create = time.Now()
			}
		},
	})
	if err != nil {
		return nil, errors.Join(err, qemu.Stop(ctx, 0))
	}
	return &box{Sandbox: made, vmm: qemu, pid: qemu.PID(), took: time.Since(create), close: made.Close}, nil
}

// complete fills in what all areas have in common.
func (b *bench) complete(spec sandbox.Spec) sandbox.Spec {
	spec.Kernel, spec.ReadyTimeout = b.kernel, 2*time.Minute
	if spec.MemoryBytes == 0 {
		spec.MemoryBytes = b.memory << 20
	}
	if lab.Inside() {
		// The lab's emulated CPU lets XSETBV past KVM, upon which the guest prints thirty lines of warning.
		spec.CommandLine = strings.TrimSpace(spec.CommandLine + " noxsave")
	}
	return spec
}

// turns runs fn on both sides by turns, once more than rounds, since the first round warms caches and does not count.
func (b *bench) turns(ctx context.Context, rounds int, spec sandbox.Spec, disks []vmm.Disk, fn func(ours, count bool, box *box) error) error {
	spec = b.complete(spec)
	for round := range rounds + 1 {
		for _, s := range []struct {
			ours bool
			make side
		}{{true, b.ours}, {false, b.peer}} {
			made, err := s.make(ctx, spec, disks)
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
