// Command endure is for what a test of seconds cannot show: that a monitor boots a hundred times in a row, that twenty of its VMs live
// side by side, that it boots every kernel in every size, and that an hour of work leaves it, and the network plugin, as large as they
// were. What wants a monitor runs where KVM is usable, on hardware or in the lab (`make endure`); the network's soak runs as root
// (`make endure-net`). It exits with 1 when something did not hold.
//
//	endure boots -n 100          one after the other
//	endure crowd -n 20           side by side
//	endure matrix KERNEL...      each kernel with 1, 2 and 4 vCPUs and 128 MiB, 1 GiB and 5 GiB
//	endure soak -for 15m -state FILE
//	endure net -for 15m -state FILE
//	endure share -for 15m -state FILE [-cache always]
//
// The last one is about a share plugin, which it mounts on this host: it needs the right to mount, and no KVM.
//
// A soak is a piece of a longer one: it appends what it has measured to its state file, and judges all pieces together.
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
	"time"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/livevm"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// options are those of all modes.
type options struct {
	n       int
	bin     string
	monitor string
	kernel  string
	disk    string
	state   string
	length  time.Duration
	memory  uint64 // MiB
	extra   string // for the guest's kernel
	cache   string
	args    []string
}

var modes = map[string]func(context.Context, options) error{
	"boots": withLauncher(boots), "crowd": withLauncher(crowd), "matrix": withLauncher(matrix), "soak": withLauncher(soak), "net": netSoak,
	"share": soakShare, workMode: workOnShare,
}

func withLauncher(mode func(context.Context, *livevm.Launcher, options) error) func(context.Context, options) error {
	return func(ctx context.Context, o options) error {
		l, err := livevm.New(o.bin)
		if err != nil {
			return err
		}
		defer l.Close(context.WithoutCancel(ctx))
		return mode(ctx, l, o)
	}
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "endure:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || modes[args[0]] == nil {
		return errors.New("want one of: boots, crowd, matrix, soak, net, share")
	}
	var o options
	flags := flag.NewFlagSet("endure "+args[0], flag.ContinueOnError)
	flags.IntVar(&o.n, "n", 20, "boots, crowd: how many")
	flags.StringVar(&o.bin, "bin", "bin", "directory of the plugins and the guest agent")
	flags.StringVar(&o.monitor, "monitor", "kvm", "VMM plugin")
	flags.StringVar(&o.kernel, "kernel", "", "kernel; empty means the one that a sandbox would get")
	flags.StringVar(&o.disk, "disk", "", "soak: root disk with stress-ng on it")
	flags.StringVar(&o.state, "state", "soak.json", "soak, net, share: file that the measurements go into")
	flags.DurationVar(&o.length, "for", 15*time.Minute, "soak, net, share: length of this piece")
	flags.Uint64Var(&o.memory, "memory", 256, "MiB of a guest")
	flags.StringVar(&o.cache, "cache", string(share.CacheAuto), "share: cache policy of the mounts")
	flags.StringVar(&o.extra, "cmdline", "", "added to the kernel's command line")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	o.args = flags.Args()
	return modes[args[0]](ctx, o)
}

// request asks for a VM as the options say.
func (o options) request() livevm.Request {
	return livevm.Request{Monitor: o.monitor, Spec: sandbox.Spec{
		Kernel: o.kernel, MemoryBytes: o.memory << 20, CommandLine: o.extra, ReadyTimeout: 3 * time.Minute,
	}}
}
