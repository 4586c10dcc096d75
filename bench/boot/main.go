// Command boot measures how long a VM takes from the request to the answer of its agent, beside QEMU started by hand with the
// same kernel and initramfs until its init runs. Both take turns, so that both see the same machine.
//
//	go run ./bench/boot [-rounds N] [-kernel PATH] [-bin DIR]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/livevm"
)

const (
	goal   = 1.25 // of the peer's time
	memory = 512 << 20
)

func main() {
	rounds := flag.Int("rounds", 10, "measurements of each side")
	kernel := flag.String("kernel", "", "kernel to boot; empty means the one that a sandbox would get")
	bin := flag.String("bin", "bin", "directory of voidbox-vmm-qemu and the guest agent")
	out := flag.String("out", "bench/boot.json", "file that the table goes into")
	flag.Parse()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *kernel, *bin, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// subject is what both sides boot.
type subject struct {
	kernel    image.Kernel
	named     string // as the user named the kernel
	initramfs string
}

func run(ctx context.Context, rounds int, kernel, bin, out string) error {
	launcher, err := livevm.New(bin)
	if err != nil {
		return err
	}
	defer launcher.Close(context.WithoutCancel(ctx))
	s, err := prepare(ctx, launcher, kernel)
	if err != nil {
		return err
	}
	peer, err := newPeer(s)
	if err != nil {
		return err
	}
	defer peer.close()

	var ours, theirs []float64
	steps := &livevm.Steps{}
	for round := range rounds + 1 { // the first one warms the caches
		mine, err := measure(ctx, launcher, s, steps)
		if err != nil {
			return fmt.Errorf("boot a sandbox: %w", err)
		}
		other, err := peer.measure(ctx)
		if err != nil {
			return fmt.Errorf("boot with QEMU alone: %w", err)
		}
		if round > 0 {
			ours, theirs = append(ours, mine.Seconds()*1e3), append(theirs, other.Seconds()*1e3)
		}
	}
	steps.Print()
	row := benchtable.Compare("boot to agent ready, "+s.kernel.Origin+" kernel", "ms", "QEMU to init", ours, theirs)
	row.Goal, row.Floor = benchtable.AtMost(goal), benchtable.AtMost(goal)
	return benchtable.Write(out, []benchtable.Row{row})
}

func prepare(ctx context.Context, l *livevm.Launcher, kernel string) (s subject, err error) {
	s.named = kernel
	if s.kernel, err = l.Images.Kernel(ctx, image.KernelRequest{Path: kernel}); err != nil {
		return s, err
	}
	s.initramfs, err = l.Images.Initramfs(ctx, image.InitramfsSpec{Kernel: s.kernel, Agent: l.Agent()})
	return s, err
}

// measure boots a VM as a run does, and returns how long that took.
func measure(ctx context.Context, launcher *livevm.Launcher, s subject, steps *livevm.Steps) (time.Duration, error) {
	steps.Begin()
	vm, err := launcher.Boot(ctx, livevm.Request{
		Monitor: "qemu", Spec: sandbox.Spec{Kernel: s.named, MemoryBytes: memory, ReadyTimeout: 2 * time.Minute}, Progress: steps.Reached,
	})
	if err != nil {
		return 0, err
	}
	return vm.Took, vm.Close(context.WithoutCancel(ctx))
}
