package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/internal/benchtable"
)

// mockGoal is what a whole mock run may cost, beside its binaries only saying who they are.
const mockGoal = 2

// mockRun measures `voidbox run --var backend=mock examples/hello.hcl`, process start to exit, beside the same binaries started in
// parallel just to print their version.
func mockRun(ctx context.Context, bin string, rounds int) ([]benchtable.Row, error) {
	state, err := os.MkdirTemp("", "voidbox-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(state)
	var ours, peer []float64
	for round := range rounds + 1 { // the first one warms the caches
		run, err := timed(func() error {
			return command(ctx, state, bin, "voidbox", "run", "--var", "backend=mock", "examples/hello.hcl")
		})
		if err != nil {
			return nil, err
		}
		versions, err := timed(func() error { return printVersions(ctx, state, bin) })
		if err != nil {
			return nil, err
		}
		if round > 0 {
			ours, peer = append(ours, run), append(peer, versions)
		}
	}
	row := benchtable.Compare("whole mock run", "ms", "the same binaries print their version", ours, peer)
	row.Goal = benchtable.AtMost(mockGoal)
	return []benchtable.Row{row}, nil
}

func printVersions(ctx context.Context, state, bin string) error {
	programs := []string{"voidbox", "voidbox-llm-replay", "voidbox-sandbox-mock"}
	errs := make([]error, len(programs))
	var wg sync.WaitGroup
	for i, program := range programs {
		wg.Go(func() { errs[i] = command(ctx, state, bin, program, "--version") })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func command(ctx context.Context, state, bin, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, program), args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+state)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", program, args, err, stderr.String())
	}
	return nil
}

// timed returns how long fn took, in milliseconds.
func timed(fn func() error) (float64, error) {
	start := time.Now()
	err := fn()
	return float64(time.Since(start).Microseconds()) / 1e3, err
}
