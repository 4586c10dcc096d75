package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"github.com/voidbox-run/voidbox/internal/benchtable"
)

const (
	agents        = 100
	parallel      = 16
	fanOutGoal    = 12  // times one agent
	coreMemory    = 150 // MB of voidbox itself meanwhile
	renderingGoal = 2   // times writing the same events as JSON
)

// fanOutFile is a pipeline of agents that each run a command in a sandbox of its own, and of one that does so before.
const fanOutFile = `
variable "agents" { type = number }
sandbox "box" {
  backend = "mock"
  image   = "base"
}
llm "replay" "main" {
  cassette = "%s"
}
agent "worker" {
  sandbox = sandbox.box
  llm     = llm.replay.main
  prompt  = "Which machine is this? Run uname -a and show what it prints.\nThen write a greeting to /tmp/hello.txt."
}
pipeline "fan" {
  max_parallel = %d
  stage "work" {
    for_each = toset([for i in range(var.agents) : "n${i}"])
    agent    = agent.worker
  }
}
`

// fanOut measures a pipeline of a hundred agents, sixteen at once, beside one of one agent, and the memory that voidbox takes for it.
func fanOut(ctx context.Context, bin string, rounds int) ([]benchtable.Row, error) {
	dir, err := os.MkdirTemp("", "voidbox-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cassette, err := filepath.Abs("examples/cassettes/hello.json")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "fan.hcl")
	if err := os.WriteFile(file, fmt.Appendf(nil, fanOutFile, cassette, parallel), 0o600); err != nil {
		return nil, err
	}
	var memory []float64
	run := func(n int) error {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "voidbox"), "run", "--var", "agents="+strconv.Itoa(n), file)
		cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%d agents: %w\n%s", n, err, out)
		}
		if n == agents {
			memory = append(memory, float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1e3)
		}
		return nil
	}
	times, err := alternate(rounds, func() error { return run(agents) }, func() error { return run(1) })
	if err != nil {
		return nil, err
	}
	row := benchtable.Compare(fmt.Sprintf("%d mock agents, %d at once", agents, parallel), "ms", "one agent", times.ours, times.peer)
	row.Goal = benchtable.AtMost(fanOutGoal)
	size := benchtable.Compare("memory of voidbox meanwhile", "MB", "what is allowed", memory, slices.Repeat([]float64{coreMemory}, len(memory)))
	size.Goal = benchtable.AtMost(1)
	return []benchtable.Row{row, size}, nil
}

// metric finds one of those that a benchmark of Go reports.
func metric(out []byte, name string) (float64, error) {
	m := regexp.MustCompile(`([0-9.]+) ` + regexp.QuoteMeta(name)).FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no %s in: %s", name, out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// rendering measures the terminal's view of 10,000 events beside the same as JSON lines. The view is nobody else's package, so that its own
// benchmark does the measuring.
func rendering(ctx context.Context, rounds int) ([]benchtable.Row, error) {
	var ours, peer []float64
	for range max(rounds/10, 3) {
		out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "RenderBesideJSON", "-benchtime", "10x", "./cmd/voidbox/internal/view").CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
		render, err := metric(out, "ms/render")
		if err != nil {
			return nil, err
		}
		lines, err := metric(out, "ms/json")
		if err != nil {
			return nil, err
		}
		ours, peer = append(ours, render), append(peer, lines)
	}
	row := benchtable.Compare("10,000 events on a terminal", "ms", "the same as JSON lines", ours, peer)
	row.Goal = benchtable.AtMost(renderingGoal)
	return []benchtable.Row{row}, nil
}
