package voidbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/voidbox-run/voidbox"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testimage"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// bootLimit is a safety net: under emulation on a busy machine a boot takes its time.
const bootLimit = 3 * time.Minute

// TestMain makes the library, and so the examples, use the programs of this tree.
func TestMain(m *testing.M) {
	dir, err := testbin.Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	voidbox.Installation = dir
	os.Exit(testbin.Run(m))
}

// install keeps the traces of the library out of the user's home.
func install(t *testing.T) {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
}

func TestMainProcessIsMandatory(t *testing.T) {
	if _, ok := reflect.TypeFor[voidbox.SandboxBuilder]().MethodByName("Build"); ok {
		t.Error("a sandbox without a main process can be built")
	}
	for _, name := range []string{"Run", "OCI"} {
		if _, ok := reflect.TypeFor[voidbox.RunnableSandbox]().MethodByName(name); ok {
			t.Errorf("%s can be called twice: Run and OCI must exclude each other", name)
		}
	}
}

func TestBuildersDoNotShareState(t *testing.T) {
	base := voidbox.NewSandbox().Run("sleep", "infinity").Env("A", "1")
	_ = base.Env("A", "2").CPUs(8)
	if !reflect.DeepEqual(base, voidbox.NewSandbox().Run("sleep", "infinity").Env("A", "1")) {
		t.Error("a copy changed the original")
	}
}

func TestRefusesNonsense(t *testing.T) {
	install(t)
	for _, s := range []voidbox.RunnableSandbox{
		voidbox.NewSandbox().Run("sleep").CPUs(0),
		voidbox.NewSandbox().Run("sleep").MemoryMB(0),
	} {
		if _, err := s.Build(t.Context()); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("Build() = %v, want ErrInvalid", err)
		}
	}
	if _, err := voidbox.NewPipeline("p").Pipe(voidbox.NewAgent("a")).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "needs a model and a prompt") {
		t.Errorf("an agent without model and prompt: %v", err)
	}
}

// tour is the complete example of a sandbox: write, run, read, look, end. It is the same for every backend.
func tour(t *testing.T, s voidbox.RunnableSandbox) {
	ctx := t.Context()
	box, err := s.Build(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Shutdown(context.WithoutCancel(ctx)) })
	if err := box.WaitReady(ctx, bootLimit); err != nil {
		t.Fatal(err)
	}
	if err := box.WriteFile(ctx, "/workspace/in/a.txt", []byte("forty-two\n")); err != nil {
		t.Fatal(err)
	}
	out, err := box.Exec(ctx, `cat /workspace/in/a.txt; echo "$GREETING" >&2; exit 3`, map[string]string{"GREETING": "hi"})
	if err != nil {
		t.Fatal(err)
	}
	if string(out.Stdout) != "forty-two\n" || string(out.Stderr) != "hi\n" || out.ExitCode != 3 {
		t.Errorf("stdout %q, stderr %q, exit %d", out.Stdout, out.Stderr, out.ExitCode)
	}
	if content, err := box.ReadFile(ctx, "/workspace/in/a.txt"); err != nil || string(content) != "forty-two\n" {
		t.Errorf("read %q, %v", content, err)
	}
	for path, want := range map[string]bool{"/workspace/in/a.txt": true, "/workspace/in/b.txt": false} {
		if got, err := box.Exists(ctx, path); err != nil || got != want {
			t.Errorf("Exists(%s) = %v, %v", path, got, err)
		}
	}
	entries, err := box.ListDir(ctx, "/workspace/in")
	if err != nil || len(entries) != 1 || entries[0].Name != "a.txt" || entries[0].Size != 10 || entries[0].Mode.IsDir() {
		t.Errorf("ListDir = %+v, %v", entries, err)
	}
	info, err := box.Info(ctx)
	if err != nil || info.Kernel == "" || info.Hostname != "toured" || info.CPUs != 2 || info.MemoryBytes == 0 || !info.Main.Running {
		t.Errorf("Info = %+v, %v", info, err)
	}
	exit, err := box.Shutdown(ctx)
	if err != nil || exit == nil || exit.Signal != "TERM" {
		t.Errorf("Shutdown = %+v, %v; want the main process ended by SIGTERM", exit, err)
	}
	if _, err := box.Exec(ctx, "true", nil); err == nil {
		t.Error("a sandbox that was shut down still runs commands")
	}
}

func TestTourOnTheMock(t *testing.T) {
	install(t)
	tour(t, voidbox.NewSandbox().Run("sleep", "infinity").Name("toured").CPUs(2).Backend("mock"))
}

func TestTourInAVM(t *testing.T) {
	testvm.Require(t)
	install(t)
	tour(t, voidbox.NewSandbox().Run("sleep", "infinity").Name("toured").CPUs(2).MemoryMB(256).Backend("qemu"))
}

// The same on an image, whose own main process it is.
func TestTourOnAnImage(t *testing.T) {
	busybox, err := testvm.Require(t).Cache.Busybox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	image := testimage.Image(t, v1.Config{Entrypoint: []string{"sleep"}, Cmd: []string{"1"}}, testimage.Busybox(t, busybox))
	layout := testimage.Layout(t, map[string]v1.Image{"1": image})
	t.Cleanup(func() {
		if _, err := testvm.Require(t).Cache.RemoveImage(context.Background(), "oci:"+layout); err != nil {
			t.Error(err)
		}
	})
	install(t)
	tour(t, voidbox.NewSandbox().OCI("oci:"+layout, "100000").Backend("qemu").Name("toured").CPUs(2).MemoryMB(256).DiskMB(256))
}

func TestUnknownBackendIsNamed(t *testing.T) {
	install(t)
	box, err := voidbox.NewSandbox().Run("sleep", "infinity").Backend("xen").Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer box.Shutdown(t.Context())
	if err := box.WaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), "xen") {
		t.Errorf("WaitReady = %v, want an error that names xen", err)
	}
}

// Directories of the host, read only and not, with homes on both sides.
func TestMountsInAVM(t *testing.T) {
	t.Setenv("VOIDBOX_CACHE_DIR", testvm.Require(t).Cache.Dir())
	install(t)
	home, code := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	for path, text := range map[string]string{filepath.Join(code, "a"): "code", filepath.Join(home, "settings"): "mine"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	box, err := voidbox.NewSandbox().Run("sh", "-c", "cat /mnt/code/a > ~/out/seen; exec sleep 100000").Backend("qemu").
		Mount("/mnt/code", code, "ro").Mount("~/.settings", "~/settings", "ro").Mount("~/out", "~", "rw").Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer box.Shutdown(context.WithoutCancel(t.Context()))
	if err := box.WaitReady(t.Context(), bootLimit); err != nil {
		t.Fatal(err)
	}
	out, err := box.Exec(t.Context(), "until test -s ~/out/seen; do sleep 0.1; done; cat ~/.settings; touch /mnt/code/b", nil)
	if err != nil || string(out.Stdout) != "mine" || out.ExitCode == 0 || !strings.Contains(string(out.Stderr), "Read-only") {
		t.Errorf("stdout %q, stderr %q, exit %d, %v", out.Stdout, out.Stderr, out.ExitCode, err)
	}
	if seen, err := os.ReadFile(filepath.Join(home, "seen")); err != nil || string(seen) != "code" {
		t.Errorf("the main process wrote %q, %v: mounts come before it", seen, err)
	}
}

// A limit that is too short for any boot is an error, and no harm: whoever waits again gets what he waits for.
func TestReadyInTime(t *testing.T) {
	testvm.Require(t)
	install(t)
	box, err := voidbox.NewSandbox().Run("sleep", "infinity").Backend("qemu").Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer box.Shutdown(context.WithoutCancel(t.Context()))
	if err := box.WaitReady(t.Context(), time.Nanosecond); !errors.Is(err, voidbox.ErrNotReady) {
		t.Errorf("after a nanosecond: %v", err)
	}
	if err := box.WaitReady(t.Context(), bootLimit); err != nil {
		t.Error(err)
	}
}

// What may be started, and what it may take.
func TestCommandsAreBoundedInAVM(t *testing.T) {
	testvm.Require(t)
	install(t)
	box, err := voidbox.NewSandbox().Run("sleep", "infinity").Backend("qemu").
		Commands("sh", "/bin/true").CommandLimits(plan.Limits{OpenFiles: 77}).Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer box.Shutdown(context.WithoutCancel(t.Context()))
	if err := box.WaitReady(t.Context(), bootLimit); err != nil {
		t.Fatal(err)
	}
	if out, err := box.Exec(t.Context(), "ulimit -n", nil); err != nil || string(out.Stdout) != "77\n" {
		t.Errorf("open files: %q, %v", out.Stdout, err)
	}
	if _, err := box.Command(t.Context(), sandbox.Command{Args: []string{"true"}}, nil); err != nil {
		t.Errorf("an allowed program: %v", err)
	}
	if _, err := box.Command(t.Context(), sandbox.Command{Args: []string{"wget", "x"}}, nil); !errors.Is(err, errdef.ErrPermission) {
		t.Errorf("another program: %v", err)
	}
}

// The provider's own command line, here its stand-in, works in the sandbox, and a file that it writes there is the output.
func TestCommandLineAgent(t *testing.T) {
	install(t)
	llm := voidbox.NewLLM("claude", map[string]any{
		"base_url": "http://127.0.0.1:1", "command": "claude-stand-in", "cli_env": map[string]string{"CLAUDE_STAND_IN": "tools"},
	})
	result, err := voidbox.NewAgent("worker").In(voidbox.NewSandbox().Run("sleep", "infinity").Backend("mock")).
		LLM(llm).Mode("cli").OutputFile("stand-in.txt").Prompt("Look around.").Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(result.Output, "found:\nLinux\n1000") || result.Stages["worker"].Turns == 0 {
		t.Errorf("output %q, %+v", result.Output, result.Stages["worker"])
	}
}

// An agent has the tools that it is given, and no others; what is no tool is an error.
func TestToolsAreChosen(t *testing.T) {
	install(t)
	agent := voidbox.NewAgent("plan").In(voidbox.NewSandbox().Run("sleep", "infinity").Backend("mock")).
		LLM(voidbox.NewLLM("replay", map[string]any{"cassette": absolute(t, "testdata/diamond.json")})).
		SkillText("style", "When writing.", "Be brief.").Prompt("Make a plan.")
	if _, err := agent.Tools("bash", "read").Run(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := agent.Tools("hammer").Run(t.Context()); err == nil || !strings.Contains(err.Error(), "hammer") {
		t.Errorf("a tool that nobody has: %v", err)
	}
}

// An MCP server that the builder names is started in the sandbox, and its tools are the model's.
func TestSkillIsAnMCPServer(t *testing.T) {
	install(t)
	script, err := os.ReadFile("examples/mcp/inventory.sh")
	if err != nil {
		t.Fatal(err)
	}
	agent := voidbox.NewAgent("clerk").In(voidbox.NewSandbox().Run("sleep", "infinity").Backend("mock")).
		LLM(voidbox.NewLLM("replay", map[string]any{"cassette": absolute(t, "examples/cassettes/mcp_tools.json")})).
		Skill(voidbox.MCPServer("inventory", "/bin/sh", "-c", string(script)).Only("stock").Timeout(time.Minute)).
		Skill(voidbox.Program("tee", "Writes what it reads.")).
		Prompt("How many apples and pears are there?")
	result, err := agent.Run(t.Context())
	if err != nil || result.Output != "There are 19 crates." {
		t.Errorf("%v: %+v", err, result)
	}
}

// The value of a secret argument is in no error, whoever writes it there.
func TestSecretArgumentIsHidden(t *testing.T) {
	install(t)
	llm := voidbox.NewLLM("replay", nil).Secret("cassette", "/nowhere/sesame-open")
	_, err := voidbox.NewAgent("a").In(voidbox.NewSandbox().Run("sleep", "infinity").Backend("mock")).LLM(llm).Prompt("x").Run(t.Context())
	if err == nil || strings.Contains(err.Error(), "sesame-open") || !strings.Contains(err.Error(), plan.Redacted) {
		t.Errorf("Run() = %v", err)
	}
}

func TestPipelineMergesAFanOut(t *testing.T) {
	install(t)
	llm := voidbox.NewLLM("replay", map[string]any{"cassette": absolute(t, "testdata/diamond.json")})
	mock := voidbox.NewSandbox().Run("sleep", "infinity").Backend("mock")
	agent := func(name, prompt string) voidbox.Agent {
		return voidbox.NewAgent(name).In(mock).LLM(llm).Prompt(prompt)
	}
	var mu sync.Mutex
	stages := map[string]bool{}
	result, err := voidbox.NewPipeline("diamond").
		Pipe(agent("plan", "Make a plan.")).
		FanOut(agent("left", "Look left."), agent("right", "Look right.")).
		Pipe(agent("merge", "Merge these.")).
		OnEvent(func(e event.Event) {
			mu.Lock()
			defer mu.Unlock()
			stages[e.Stage] = true
		}).
		Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Output != "merged: saw-left saw-right" {
		t.Errorf("output %q", result.Output)
	}
	for _, name := range []string{"plan", "left", "right", "merge"} {
		if !stages[name] {
			t.Errorf("no event of stage %s was streamed", name)
		}
	}
	var sum event.Totals
	for _, s := range result.Stages {
		sum = sum.Add(s.Totals)
	}
	if sum.InputTokens != result.Totals.InputTokens || sum.OutputTokens != result.Totals.OutputTokens {
		t.Errorf("totals %+v are not the sum of the stages %+v", result.Totals, sum)
	}
}

func TestArtefactsGoFromAgentToAgent(t *testing.T) {
	install(t)
	llm := voidbox.NewLLM("replay", map[string]any{"cassette": absolute(t, "testdata/artefacts.json")})
	mock := voidbox.NewSandbox().Run("sleep", "infinity").Backend("mock")
	agent := func(name, prompt string) voidbox.Agent {
		return voidbox.NewAgent(name).In(mock).LLM(llm).Prompt(prompt)
	}
	result, err := voidbox.NewPipeline("relay").
		FanOut(agent("left", "Write.").Artefacts("/tmp/out"), agent("right", "Write.").Artefacts("/tmp/out")).
		Pipe(agent("merge", "Merge.").Files("/tmp/in")).
		RunDir(filepath.Join(t.TempDir(), "run")).
		Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Output != "/tmp/in/left/out/f\n/tmp/in/right/out/f" {
		t.Errorf("output %q", result.Output)
	}
	if _, err := os.Stat(filepath.Join(result.Stages["left"].Artefacts, "out", "f")); err != nil {
		t.Error(err)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
