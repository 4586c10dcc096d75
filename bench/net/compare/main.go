//go:build linux

// Command compare measures net-slirp beside pasta and slirp4netns: the same programs in a network namespace behind each of them, one
// after another in every round, so that the speed of the machine and what else it does cancel out. It needs root, iperf3, passt and
// slirp4netns.
//
// Between net-slirp and its namespace stands bench/net, which plays the VM's device and costs two wake-ups for each round trip that the
// peers do not have; a row says how much that is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"github.com/voidbox-run/voidbox/internal/benchtable"
)

func main() {
	rounds := flag.Int("rounds", 7, "measurements of each side")
	seconds := flag.Float64("seconds", 1, "how long one takes")
	out := flag.String("out", "bench/net.json", "file that the table goes into")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := compare(ctx, *rounds, *seconds, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, rounds int, seconds float64, out string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for _, program := range []string{"ip", "iperf3", "pasta", "slirp4netns"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: run: apt-get install iproute2 iperf3 passt slirp4netns", err)
		}
	}
	bin, err := os.MkdirTemp("", "voidbox-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	if err := build(ctx, bin); err != nil {
		return err
	}
	w, err := newWorld(ctx, bin)
	if err != nil {
		return err
	}
	defer w.close()
	b := bench{world: w, rounds: rounds, seconds: seconds}
	rows, err := b.all()
	return errors.Join(err, benchtable.Write(out, rows))
}

// build makes the programs that are measured, as they are shipped, and those that measure.
func build(ctx context.Context, bin string) error {
	for name, pkg := range map[string]string{
		"voidbox-network-slirp": "./plugins/net-slirp", "voidbox-network-tap": "./plugins/net-tap", "bench-net": "./bench/net", "probe": "./bench/net/probe",
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", filepath.Join(bin, name), pkg)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w", pkg, err)
		}
	}
	return nil
}
