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
	"path/filepath"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/sdk/base"
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
	cache     *image.Cache
	kernel    image.Kernel
	named     string // as the user named the kernel
	agent     string // path
	initramfs string
}

func run(ctx context.Context, rounds int, kernel, bin, out string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	s, err := prepare(ctx, kernel, filepath.Join(bin, image.AgentName))
	if err != nil {
		return err
	}
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: bin})
	if err != nil {
		return err
	}
	defer host.Close(context.WithoutCancel(ctx))
	peer, err := newPeer(s)
	if err != nil {
		return err
	}
	defer peer.close()

	var ours, theirs []float64
	steps := &steps{}
	for round := range rounds + 1 { // the first one warms the caches
		mine, err := measure(ctx, host, s, steps)
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
	steps.print()
	row := benchtable.Compare("boot to agent ready, "+s.kernel.Origin+" kernel", "ms", "QEMU to init", ours, theirs)
	row.Goal, row.Floor = benchtable.AtMost(goal), benchtable.AtMost(goal)
	return benchtable.Write(out, []benchtable.Row{row})
}

func prepare(ctx context.Context, kernel, agent string) (s subject, err error) {
	s.agent, s.named = agent, kernel
	if s.cache, err = image.OpenCache(""); err != nil {
		return s, err
	}
	if s.kernel, err = s.cache.Kernel(ctx, image.KernelRequest{Path: kernel}); err != nil {
		return s, err
	}
	s.initramfs, err = s.cache.Initramfs(ctx, image.InitramfsSpec{Kernel: s.kernel, Agent: agent})
	return s, err
}

// measure starts the plugin and boots a VM, as a run does, and returns how long that took.
func measure(ctx context.Context, host *pluginhost.Host, s subject, steps *steps) (time.Duration, error) {
	start := time.Now()
	steps.begin()
	plugin, err := host.Start(ctx, pluginhost.Request{Kind: base.KindVMM, Name: "qemu", Instance: "bench"})
	if err != nil {
		return 0, err
	}
	defer plugin.Close(context.WithoutCancel(ctx))
	box, err := sandbox.NewVM(ctx, sandbox.VMConfig{
		VMM: plugin.VMM(), Images: s.cache, Dir: plugin.RuntimeDir(), Agent: s.agent,
		Spec:     sandbox.Spec{Kernel: s.named, MemoryBytes: memory, ReadyTimeout: 2 * time.Minute},
		Progress: steps.reached,
	})
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	return took, box.Close(context.WithoutCancel(ctx))
}
