package voidbox_test

import (
	"context"
	"fmt"
	"log"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// An agent's machine that can push to one repository. The private key stays on this machine.
func ExampleRunnableSandbox_DeployKey() {
	box := voidbox.NewSandbox().Packages("git", "openssh-client").Network("slirp", nil).DeployKey("site", "~/.ssh/deploy_site", "github.com")
	_ = box // Build(ctx) starts it
}

// A whole program: run a script that nobody trusts in a machine of its own, and fetch what it made. Backend("mock") keeps this
// example out of a VM; without it the backend is KVM or QEMU. A mock lends no host directories, so the script is written into it here:
// examples/complete has it from Mount("/mnt/code", "./code", "ro").
func Example() {
	ctx := context.Background()
	box, err := voidbox.NewSandbox().Run("sleep", "infinity").CPUs(2).MemoryMB(512).Backend("mock").Build(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer box.Shutdown(ctx)
	if err := box.WaitReady(ctx); err != nil {
		log.Fatal(err)
	}

	script := "echo computing; echo '{\"answer\": 42}' > /tmp/results.json"
	if err := box.WriteFile(ctx, "/mnt/code/script.sh", []byte(script)); err != nil {
		log.Fatal(err)
	}
	out, err := box.Exec(ctx, "sh /mnt/code/script.sh", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("output: %s", out.Stdout)
	if out.ExitCode != 0 {
		fmt.Printf("failed with %d: %s", out.ExitCode, out.Stderr)
	}

	if found, err := box.Exists(ctx, "/tmp/results.json"); err != nil {
		log.Fatal(err)
	} else if found {
		results, err := box.ReadFile(ctx, "/tmp/results.json")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("results: %s", results)
	}

	if _, err := box.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// output: computing
	// results: {"answer": 42}
}

// A failing command is a result; an error means that there is none. Command takes what a line of shell cannot say: standard
// input, a working directory, a user, limits.
func ExampleSandbox_Command() {
	ctx := context.Background()
	box, err := voidbox.NewSandbox().Run("sleep", "infinity").Backend("mock").Build(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer box.Shutdown(ctx)

	out, err := box.Command(ctx, sandbox.Command{Args: []string{"ls", "nowhere"}, Dir: "/tmp"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("failed:", out.ExitCode != 0)
	// Output: failed: true
}

// A guest that may fetch packages from PyPI and ask a model server of the host, and nothing else; its own web server is a port of the
// host's. Backend("mock") keeps this example out of a VM, and a mock has no network: in a VM, Published and Explain would say more.
func ExampleRunnableSandbox_Allow() {
	ctx := context.Background()
	box, err := voidbox.NewSandbox().Run("sleep", "infinity").Backend("mock").
		Allow("pypi.org:443", "*.pythonhosted.org:443").
		Service("ollama", "10.0.2.2:11434", "127.0.0.1:11434").
		Publish(8080).
		Build(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer box.Shutdown(ctx)

	if at, err := box.Published(ctx, network.TCP, 8080); err != nil {
		fmt.Println("not published:", err)
	} else {
		fmt.Println("published at", at)
	}

	// What cannot be held is refused before anything starts.
	_, err = voidbox.NewSandbox().Run("sleep", "infinity").Allow("127.0.0.1:11434").Build(ctx)
	fmt.Println("refused:", err != nil)
	// Output:
	// not published: no guest with a network runs at the moment
	// refused: true
}

// A pipeline: one agent plans, two work side by side with its output, one merges theirs. Each runs in a clean sandbox.
func ExamplePipeline() {
	cassette, err := filepath.Abs("testdata/diamond.json")
	if err != nil {
		log.Fatal(err)
	}
	llm := voidbox.NewLLM("replay", map[string]any{"cassette": cassette})
	box := voidbox.NewSandbox().Run("sleep", "infinity").Backend("mock")
	agent := func(name, prompt string) voidbox.Agent {
		return voidbox.NewAgent(name).In(box).LLM(llm).Prompt(prompt).MaxTurns(10).Timeout(time.Minute)
	}

	var finished atomic.Int32
	result, err := voidbox.NewPipeline("diamond").
		Pipe(agent("plan", "Make a plan.")).
		FanOut(agent("left", "Look left."), agent("right", "Look right.")).
		Pipe(agent("merge", "Merge these.")).
		OnEvent(func(e event.Event) {
			if e.Data.Type() == "stage_finished" {
				finished.Add(1)
			}
		}).
		Run(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Output)
	fmt.Println(finished.Load(), "stages,", result.Totals.OutputTokens, "tokens written")
	// Output:
	// merged: saw-left saw-right
	// 4 stages, 10 tokens written
}
