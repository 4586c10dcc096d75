// Command kvm measures vmm-kvm beside QEMU's microvm on the same KVM: boot, memory, vsock and block. It runs where KVM is usable,
// on hardware or inside the lab; `make bench-boot` and its like see to that.
//
// Both sides get the same sandbox from core/sandbox, on another monitor each, and take turns.
//
//	kvm -area boot|memory|vsock|block [-rounds N] [-state FILE -piece N] [-kernel PATH] [-bin DIR] [-disk PATH] [-out FILE]
//
// With a state file a measurement can be made in pieces of so many rounds: each call adds a piece, and exits with 3 where there are
// more to make.
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
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/livevm"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/test/lab"
)

func main() {
	var o options
	area := flag.String("area", "boot", "what is measured: boot, memory, vsock or block")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of each side; 0 means as many as the area needs")
	flag.StringVar(&o.state, "state", "", "file that keeps what has been measured, so that the next call goes on")
	flag.IntVar(&o.piece, "piece", 0, "rounds of this call; 0 means all that are missing")
	flag.StringVar(&o.kernel, "kernel", "", "kernel to boot; empty means the one that a sandbox would get, \"debian\" Debian's cloud kernel")
	flag.StringVar(&o.bin, "bin", "bin", "directory of voidbox-vmm-kvm, the guest agent and bench-vsock-guest")
	flag.StringVar(&o.disk, "disk", "", "block: root disk with fio on it")
	flag.Uint64Var(&o.memory, "memory", 512, "MiB of each guest; the memory area always takes 128")
	out := flag.String("out", "", "file that the table goes into; empty means bench/AREA.json")
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
	switch err := run(ctx, *area, o, *out); {
	case errors.Is(err, errMore):
		fmt.Println("bench:", err)
		os.Exit(exitMore)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// exitMore is the status of a piece that was not the last.
const exitMore = 3

var errMore = errors.New("there are more rounds to make")

type options struct {
	rounds  int
	kernel  string
	bin     string
	disk    string
	memory  uint64 // MiB
	state   string
	piece   int
	verbose bool
}

// area is what can be measured, and how many rounds that takes.
type area struct {
	measure func(context.Context, *bench) ([]benchtable.Row, error)
	rounds  int
}

var areas = map[string]area{
	"boot": {measureBoot, 20}, "memory": {measureMemory, 20}, "vsock": {measureVsock, 3}, "block": {measureBlock, 4},
}

func run(ctx context.Context, name string, o options, out string) (err error) {
	area := areas[name]
	if area.measure == nil {
		return fmt.Errorf("area %q is none of boot, memory, vsock and block", name)
	}
	if o.rounds == 0 {
		o.rounds = area.rounds
	}
	launcher, err := livevm.New(o.bin)
	if err != nil {
		return err
	}
	defer launcher.Close(context.WithoutCancel(ctx))
	b := &bench{options: o, launcher: launcher}
	if err := b.findKernel(ctx); err != nil {
		return err
	}
	if b.record, err = loadRecord(o.state, name+", "+b.kernelName); err != nil {
		return err
	}
	rows, err := area.measure(ctx, b)
	if err != nil {
		return err
	}
	return benchtable.Write(out, rows)
}

// bench is what all areas share.
type bench struct {
	options
	launcher   *livevm.Launcher
	kernelName string // whose kernel is booted
	record     *record
	steps      livevm.Steps // of our boots
}

// debianKernel asks for Debian's kernel where a path could stand.
const debianKernel = image.OriginDebian

// findKernel finds out what is booted, once for all boots.
func (b *bench) findKernel(ctx context.Context) (err error) {
	var kernel image.Kernel
	if b.kernel == debianKernel {
		kernel, err = b.launcher.Images.DebianKernel(ctx)
	} else {
		kernel, err = b.launcher.Images.Kernel(ctx, image.KernelRequest{Path: b.kernel})
	}
	if err != nil {
		return err
	}
	b.kernel, b.kernelName = kernel.Path, kernel.Origin
	return nil
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

// compare makes the row of a series, whose goals are the caller's to set.
func (b *bench) compare(series, name, unit, peer string) benchtable.Row {
	s := b.record.of(series)
	return benchtable.Compare(name, unit, peer, s.Ours, s.Peer)
}

// sideName is how a side is called in what is printed on the way.
func sideName(ours bool) string {
	if ours {
		return "ours"
	}
	return "peer"
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

// turns runs fn on both sides by turns, and hands it where its figures go. The first round warms caches and does not count. The
// error is errMore where this was a piece and not the last.
func (b *bench) turns(ctx context.Context, spec sandbox.Spec, disks []vmm.Disk, fn func(ours bool, box *box, into *record) error) error {
	spec = b.complete(spec)
	now := b.rounds - b.record.Rounds
	if b.piece > 0 {
		now = min(now, b.piece)
	}
	if now <= 0 {
		return nil
	}
	for round := range now + 1 {
		into := b.record
		if round == 0 {
			into, _ = loadRecord("", "")
		}
		for _, s := range []struct {
			ours bool
			make side
		}{{true, b.ours}, {false, b.peer}} {
			made, err := s.make(ctx, spec, disks)
			if err != nil {
				return fmt.Errorf("round %d, ours %v: %w", round, s.ours, err)
			}
			err = fn(s.ours, made, into)
			if err := errors.Join(err, made.close(context.WithoutCancel(ctx))); err != nil {
				return fmt.Errorf("round %d, ours %v: %w", round, s.ours, err)
			}
		}
		into.Rounds++
		if err := into.save(); err != nil {
			return err
		}
	}
	if left := b.rounds - b.record.Rounds; left > 0 {
		return fmt.Errorf("%d of %d rounds made: %w", b.record.Rounds, b.rounds, errMore)
	}
	return nil
}
