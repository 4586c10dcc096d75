package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/livevm"
)

// start compares the boots of a cached image and of the built-in system, each from its name to the agent's answer.
func start(ctx context.Context, rounds int, bin, name string) (benchtable.Row, error) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	launcher, err := livevm.New(bin)
	if err != nil {
		return benchtable.Row{}, err
	}
	defer launcher.Close(context.WithoutCancel(ctx))
	boot := func(spec sandbox.Spec) (float64, error) {
		spec.MemoryBytes, spec.ReadyTimeout = 512<<20, 2*time.Minute
		vm, err := launcher.Boot(ctx, livevm.Request{Monitor: "qemu", Spec: spec})
		if err != nil {
			return 0, err
		}
		return vm.Took.Seconds() * 1e3, vm.Close(context.WithoutCancel(ctx))
	}
	sleep := []string{"sleep", "infinity"}
	var ours, peer []float64
	for round := range rounds + 1 { // the first one makes the disk
		a, err := boot(sandbox.Spec{Image: name, Main: sleep})
		if err != nil {
			return benchtable.Row{}, err
		}
		b, err := boot(sandbox.Spec{Main: sleep})
		if err != nil {
			return benchtable.Row{}, err
		}
		if round > 0 {
			ours, peer = append(ours, a), append(peer, b)
		}
	}
	row := benchtable.Compare("start from a cached image of busybox", "ms", "the built-in system, which is busybox", ours, peer)
	row.Goal = benchtable.AtMost(startGoal)
	return row, nil
}
