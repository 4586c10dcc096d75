package sandbox_test

import (
	"context"
	"os/exec"
	"sort"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// direct runs commands with os/exec, so that what the adapters add is all there is to see.
type direct struct{ sandbox.Sandbox }

func (direct) Exec(ctx context.Context, cmd sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
	c := exec.CommandContext(ctx, cmd.Args[0], cmd.Args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = stdio.Stdin, stdio.Stdout, stdio.Stderr
	if err := c.Start(); err != nil {
		return sandbox.Exit{}, err
	}
	if stdio.Started != nil {
		stdio.Started(c.Process.Pid)
	}
	if err := c.Wait(); err != nil && c.ProcessState == nil {
		return sandbox.Exit{}, err
	}
	return sandbox.Exit{Code: c.ProcessState.ExitCode()}, nil
}

// report adds the median, which a few slow runs on a busy machine leave alone.
func report(b *testing.B, one func()) {
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		one()
		times = append(times, time.Since(start))
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
}

func run(b *testing.B, s sandbox.Sandbox, args ...string) func() {
	return func() {
		if _, err := s.Exec(b.Context(), sandbox.Command{Args: args}, sandbox.IO{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTrue(b *testing.B) {
	b.Run("os-exec", func(b *testing.B) {
		report(b, func() {
			if err := exec.Command("/bin/true").Run(); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("in-process", func(b *testing.B) { report(b, run(b, direct{}, "/bin/true")) })
	b.Run("unix-socket", func(b *testing.B) {
		report(b, run(b, sandbox.NewClient(serve(b, direct{}), token), "/bin/true"))
	})
}

// BenchmarkOverhead is an Exec that does nothing: the price of the messages.
func BenchmarkOverhead(b *testing.B) {
	nothing := &fake{exec: func(_ context.Context, _ sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
		stdio.Started(1)
		return sandbox.Exit{}, nil
	}}
	report(b, run(b, sandbox.NewClient(serve(b, nothing), token), "x"))
}

func BenchmarkOutput(b *testing.B) {
	const size = 64 << 20
	block := make([]byte, 32<<10)
	source := &fake{exec: func(_ context.Context, _ sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
		for range size / len(block) {
			if _, err := stdio.Stdout.Write(block); err != nil {
				return sandbox.Exit{}, err
			}
		}
		return sandbox.Exit{}, nil
	}}
	b.SetBytes(size)
	one := run(b, sandbox.NewClient(serve(b, source), token), "x")
	for b.Loop() {
		one()
	}
}
