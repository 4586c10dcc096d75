// Command run measures what it costs to start things: plugins, and what is built on them. Each row stands beside a plain
// counterpart that did the same work in the same run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"

	"github.com/voidbox-run/voidbox/core/pluginhost/startbench"
	"github.com/voidbox-run/voidbox/internal/benchtable"
)

func main() {
	rounds := flag.Int("rounds", 60, "measurements of each side")
	bin := flag.String("bin", "bin", "directory of voidbox and its plugins")
	out := flag.String("out", "bench/run.json", "file that the table goes into")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *bin, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, bin, out string) error {
	rows, err := pluginStart(ctx, rounds)
	if err != nil {
		return err
	}
	mock, err := mockRun(ctx, bin, rounds)
	if err != nil {
		return err
	}
	fan, err := fanOut(ctx, bin, max(rounds/6, 3))
	if err != nil {
		return err
	}
	rendered, err := rendering(ctx, rounds)
	if err != nil {
		return err
	}
	models, err := model(ctx, bin, rounds)
	if err != nil {
		return err
	}
	execs, err := execThroughAgent(ctx, bin, rounds)
	if err != nil {
		return err
	}
	vm, err := inVM(ctx, bin, rounds)
	if err != nil {
		return err
	}
	return benchtable.Write(out, slices.Concat(rows, mock, fan, rendered, models, execs, vm))
}

// pluginStart builds the example plugin and starts it over and over.
func pluginStart(ctx context.Context, rounds int) ([]benchtable.Row, error) {
	dir, err := os.MkdirTemp("", "voidbox-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "voidbox-llm-echo")
	build := exec.CommandContext(ctx, "go", "build", "-C", "examples/plugins/llm-echo", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the example plugin: %w", err)
	}
	return startbench.Run(ctx, binary, rounds)
}
