package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/internal/testsandbox"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

func llms(l llm.LLM) map[string]llm.LLM { return map[string]llm.LLM{"fake": l} }

func TestSingleAgent(t *testing.T) {
	model := testllm.Script(
		testllm.Used(testllm.Call("bash", `{"command": "echo from the sandbox"}`), llm.Usage{InputTokens: 10, OutputTokens: 2}),
		testllm.Used(testllm.Say("the end"), llm.Usage{InputTokens: 20}))
	h := newHarness(t, single(nil), llms(model))
	result, err := h.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Output != "the end" || result.Totals.InputTokens != 30 || result.Target != "agent.solo" || result.Dir != h.cfg.RunDir {
		t.Errorf("%+v", result)
	}
	if sr := result.Stages["solo"]; sr.Turns != 2 || sr.Model != "test" || !reflect.DeepEqual(sr.Tools, []string{"bash"}) || sr.Attempts != 1 {
		t.Errorf("%+v", sr)
	}
	want := "stage_started sandbox_progress sandbox_ready agent_started usage tool_call tool_result text usage sandbox_stopped stage_finished"
	if got := h.types("solo"); got != want {
		t.Errorf("events of the stage\n got %s\nwant %s", got, want)
	}
	if got := h.types(""); got != "run_started run_finished" {
		t.Errorf("events of the run: %s", got)
	}
	if got := h.record("artefacts/solo/output.txt"); got != "the end" {
		t.Errorf("artefact %q", got)
	}
	if c := model.Requests()[0].Conversation; !strings.HasSuffix(c, "/solo/1") {
		t.Errorf("conversation %q", c)
	}
	info, err := os.Stat(filepath.Join(h.cfg.RunDir, "events.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("events.jsonl: %v, %v", info.Mode(), err)
	}
}

func TestPipelineSharesTheProviderAndNotTheSandbox(t *testing.T) {
	h := newHarness(t, diamond(nil), llms(echo()))
	result, err := h.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := "re: prompt of d <re: prompt of b <re: prompt of a>> <re: prompt of c <re: prompt of a>>"
	if result.Output != want || result.Outputs["report"] != want {
		t.Errorf("output %q, outputs %v", result.Output, result.Outputs)
	}
	if result.Outputs["hidden"] != plan.Redacted || strings.Contains(h.record("events.jsonl"), "hush") {
		t.Error("a sensitive output is shown")
	}
	if len(h.host.sandboxes) != 4 {
		t.Errorf("%d sandboxes for 4 stages", len(h.host.sandboxes))
	}
	if got := fmt.Sprint(h.host.started); got != "[llm-fake sandbox-mock]" && got != "[sandbox-mock llm-fake]" {
		t.Errorf("started %s", got)
	}
}

func TestFailedDependencySkips(t *testing.T) {
	h := newHarness(t, diamond(nil), llms(answering(func(_ context.Context, prompt string) (llm.Turn, error) {
		if strings.HasPrefix(prompt, "prompt of b") {
			return llm.Turn{}, errdef.New(errdef.ErrUnauthenticated, "bad key").WithRemedy("set the key")
		}
		return testllm.Say("ok"), nil
	})))
	result, err := h.run(t.Context())
	var stage *StageError
	if !errors.As(err, &stage) || stage.Stage != "b" || errdef.Remedy(err) != "set the key" || ExitCode(err) != ExitFailed {
		t.Fatalf("got %v", err)
	}
	for id, want := range map[string]event.Status{"a": event.Succeeded, "b": event.Failed, "c": event.Succeeded, "d": event.Skipped} {
		if got := result.Stages[id]; got.Status != want {
			t.Errorf("%s: %+v", id, got)
		}
	}
	if result.Stages["d"].Because != "b" || result.Status != event.Failed {
		t.Errorf("%+v", result)
	}
	if got := h.types("d"); got != "stage_finished" {
		t.Errorf("events of the skipped stage: %s", got)
	}
}

func TestRetryGetsACleanSandboxAndCountsAllAttempts(t *testing.T) {
	p := diamond(nil)
	p.Pipelines[0].Stages = p.Pipelines[0].Stages[:1]
	p.Pipelines[0].Outputs = nil
	p.Pipelines[0].Stages[0].Retry = plan.Retry{Attempts: 3}
	var attempts atomic.Int32
	model := &testllm.LLM{}
	model.Turn = func(_ context.Context, req llm.Request, _ func(llm.Progress) error) (llm.Turn, error) {
		switch len(req.Messages) {
		case 1:
			return testllm.Used(testllm.Call("bash", `{"command": "ls; touch left-behind"}`), llm.Usage{InputTokens: 5}), nil
		default:
			if got := req.Messages[2].Parts[0].ToolResult.Content; got != "(no output)" {
				t.Errorf("the sandbox held %q", got)
			}
			if attempts.Add(1) < 3 {
				return llm.Turn{}, errdef.New(errdef.ErrUnavailable, "overloaded")
			}
			return testllm.Say("third time"), nil
		}
	}
	h := newHarness(t, p, llms(model))
	result, err := h.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if sr := result.Stages["a"]; sr.Attempts != 3 || sr.Totals.InputTokens != 15 || result.Totals.InputTokens != 15 || result.Output != "third time" {
		t.Errorf("%+v", result)
	}
	if n := strings.Count(h.types("a"), "retry"); n != 2 {
		t.Errorf("%d retry events", n)
	}
}

func TestBudgetIsNotRetried(t *testing.T) {
	p := diamond(func(_ string, run *plan.AgentRun) { run.Budget.Tokens = 10 })
	p.Pipelines[0].Stages[0].Retry.Attempts = 5
	h := newHarness(t, p, llms(answering(func(context.Context, string) (llm.Turn, error) {
		return testllm.Used(testllm.Call("bash", `{"command": "true"}`), llm.Usage{InputTokens: 50}), nil
	})))
	result, err := h.run(t.Context())
	var limit *agent.LimitError
	if !errors.As(err, &limit) || limit.Limit != agent.LimitTokens || result.Stages["a"].Attempts != 1 {
		t.Fatalf("%v after %d attempts", err, result.Stages["a"].Attempts)
	}
	if result.Totals.InputTokens != 50 {
		t.Errorf("what was spent is lost: %+v", result.Totals)
	}
}

// A budget that is reached in the middle of a fan-out ends its stage. The stage beside it goes on, what needs both is skipped, and what was
// spent is counted.
func TestBudgetReachedInAFanOut(t *testing.T) {
	finished := make(chan struct{})
	h := newHarness(t, diamond(func(stage string, run *plan.AgentRun) {
		if stage == "b" {
			run.Budget.Tokens = 10
		}
	}), llms(&testllm.LLM{Turn: func(ctx context.Context, req llm.Request, _ func(llm.Progress) error) (llm.Turn, error) {
		used := llm.Usage{InputTokens: 20, CostUSD: 1, CostKnown: true}
		switch {
		case strings.HasPrefix(req.Messages[0].Parts[0].Text, "prompt of b"):
			return testllm.Used(testllm.Call("bash", `{"command": "true"}`), used), nil
		case strings.HasPrefix(req.Messages[0].Parts[0].Text, "prompt of c"):
			<-finished // c is at work while b reaches its budget
		}
		return testllm.Used(testllm.Say("ok"), used), nil
	}}))
	h.watch = func(e event.Event) {
		if _, over := e.Data.(event.StageFinished); over && e.Stage == "b" {
			close(finished)
		}
	}
	result, err := h.run(t.Context())
	var limit *agent.LimitError
	if !errors.As(err, &limit) || limit.Limit != agent.LimitTokens || errdef.Remedy(err) == "" {
		t.Fatalf("got %v (%s)", err, errdef.Remedy(err))
	}
	for id, want := range map[string]event.Status{"a": event.Succeeded, "b": event.Failed, "c": event.Succeeded, "d": event.Skipped} {
		if got := result.Stages[id]; got.Status != want {
			t.Errorf("%s: %+v", id, got)
		}
	}
	checkTotals(t, result)
	if result.Totals.InputTokens != 60 || result.Stages["b"].Totals.InputTokens != 20 {
		t.Errorf("%+v", result.Totals)
	}
}

func TestPluginThatDiesEndsTheRun(t *testing.T) {
	for _, name := range []string{"llm-fake", "sandbox-mock"} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{})
			h := newHarness(t, diamond(nil), llms(answering(func(ctx context.Context, prompt string) (llm.Turn, error) {
				if strings.HasPrefix(prompt, "prompt of a") {
					return testllm.Say("ok"), nil
				}
				asked <- struct{}{}
				<-ctx.Done()
				return llm.Turn{}, errdef.New(errdef.ErrUnavailable, "connection lost")
			})))
			go func() {
				<-asked
				<-asked
				h.host.plugin(name).die()
			}()
			result, err := h.run(t.Context())
			var plugin *PluginError
			if !errors.As(err, &plugin) || plugin.Plugin != name || errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			if want := "plugin " + name + " died (exit status 2)"; err.Error() != want {
				t.Errorf("the error reads %q", err)
			}
			if result.Status != event.Failed || result.Stages["b"].Status != event.Failed || result.Stages["d"].Status != event.Cancelled {
				t.Errorf("%+v", result)
			}
		})
	}
}

// TestCancelInEachPhase cancels the run when the first event of a type is seen.
func TestCancelInEachPhase(t *testing.T) {
	for _, phase := range []string{"run_started", "stage_started", "sandbox_progress", "sandbox_ready", "agent_started", "tool_call", "sandbox_stopped"} {
		t.Run(phase, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			h := newHarness(t, diamond(nil), llms(&testllm.LLM{Turn: func(_ context.Context, req llm.Request, _ func(llm.Progress) error) (llm.Turn, error) {
				if len(req.Messages) == 1 {
					return testllm.Call("bash", `{"command": "true"}`), nil
				}
				return testllm.Say("ok"), nil
			}}))
			h.watch = func(e event.Event) {
				if e.Data.Type() == phase {
					cancel()
				}
			}
			result, err := h.run(ctx)
			if !errors.Is(err, context.Canceled) || result.Status != event.Cancelled || ExitCode(err) != ExitCancelled {
				t.Errorf("%v: %+v", err, result)
			}
			for id, sr := range result.Stages {
				if sr.Status != event.Cancelled && !(phase == "sandbox_stopped" && id == "a") {
					t.Errorf("stage %s: %+v", id, sr)
				}
			}
		})
	}
}

func TestHardEndCutsTheCleanUpShort(t *testing.T) {
	hard, kill := context.WithCancel(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	closing := make(chan struct{})
	h := newHarness(t, single(nil), llms(answering(func(ctx context.Context, _ string) (llm.Turn, error) {
		cancel()
		<-ctx.Done()
		return llm.Turn{}, ctx.Err()
	})))
	h.cfg.Hard = hard
	h.cfg.Plan.Agents[0].Sandbox.Backend = "qemu"
	h.cfg.newVM = func(context.Context, sandbox.VMConfig) (box, error) {
		return stuckVM{fakeVM{h.host.newSandbox(), new(bool), nil}, closing}, nil
	}
	go func() { <-closing; kill() }()
	if _, err := h.run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// stuckVM does not close before its time is over.
type stuckVM struct {
	fakeVM
	closing chan struct{}
}

func (v stuckVM) Close(ctx context.Context) error {
	close(v.closing)
	<-ctx.Done()
	return ctx.Err()
}

func TestVMBackends(t *testing.T) {
	h := newHarness(t, single(nil), llms(echo()))
	h.cfg.Plan.Agents[0].Sandbox.Backend = plan.BackendAuto
	closed := false
	h.cfg.newVM = func(_ context.Context, cfg sandbox.VMConfig) (box, error) {
		cfg.Progress(sandbox.StageKernel)
		return fakeVM{h.host.newSandbox(), &closed, nil}, nil
	}
	if _, err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var ready event.SandboxReady
	for _, e := range h.events {
		if r, ok := e.Data.(event.SandboxReady); ok {
			ready = r
		}
	}
	if ready.Backend != "qemu" || ready.Accelerator != "tcg" || !closed {
		t.Errorf("%+v, closed %v", ready, closed)
	}
	h.host.plugin("vmm-qemu")
}

func TestAutoPrefersUsableKVMAndNeverFallsBackToMock(t *testing.T) {
	h := newHarness(t, single(nil), llms(echo()))
	h.cfg.Plan.Agents[0].Sandbox.Backend = plan.BackendAuto
	r, err := New(h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	box := h.cfg.Plan.Agents[0].Sandbox
	r.cfg.kvm = func() error { return nil }
	if b, err := r.chooseBackend(t.Context(), box); err != nil || b.name != "kvm" {
		t.Errorf("with KVM: %v, %v", b, err)
	}
	h.host.missing["vmm-kvm"] = true
	if b, err := r.chooseBackend(t.Context(), box); err != nil || b.name != "qemu" {
		t.Errorf("without the KVM plugin: %v, %v", b, err)
	}
	h.host.missing["vmm-qemu"] = true
	result, err := h.run(t.Context())
	if ExitCode(err) != ExitMachine || errdef.Remedy(err) == "" || result.Status != event.Failed {
		t.Errorf("got %v", err)
	}
	if len(h.host.started) != 0 {
		t.Errorf("started %v", h.host.started)
	}
}

func TestMissingPluginsAreTheMachinesFault(t *testing.T) {
	h := newHarness(t, single(nil), nil)
	if _, err := h.run(t.Context()); ExitCode(err) != ExitMachine || !strings.Contains(err.Error(), "llm-fake") {
		t.Errorf("got %v", err)
	}
	h = newHarness(t, single(nil), llms(echo()))
	h.cfg.Plan.Agents[0].Sandbox.Backend = "nosuch"
	if _, err := h.run(t.Context()); ExitCode(err) != ExitMachine || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("got %v", err)
	}
}

func TestTargets(t *testing.T) {
	a, b, needy := agentOf("a", nil), agentOf("b", nil), agentOf("needy", nil)
	needy.NeedsInput, needy.Bind = true, nil
	box := &plan.Sandbox{Name: "box"}
	line := &plan.Pipeline{Name: "line"}
	for _, c := range []struct {
		plan   plan.Plan
		target string
		want   string // or the beginning of the error
	}{
		{plan.Plan{Pipelines: []*plan.Pipeline{line}, Agents: []*plan.Agent{a, b}}, "", "pipeline.line"},
		{plan.Plan{Agents: []*plan.Agent{a, needy}, Sandboxes: []*plan.Sandbox{box}}, "", "agent.a"},
		{plan.Plan{Sandboxes: []*plan.Sandbox{box}}, "", "sandbox.box"},
		{plan.Plan{Agents: []*plan.Agent{a, b}}, "agent.b", "agent.b"},
		{plan.Plan{Agents: []*plan.Agent{a, b}}, "", "there is more than one agent"},
		{plan.Plan{Pipelines: []*plan.Pipeline{line, line}}, "", "there is more than one pipeline"},
		{plan.Plan{Agents: []*plan.Agent{needy}}, "", "the agents need input"},
		{plan.Plan{Agents: []*plan.Agent{needy}}, "agent.needy", "agent.needy needs input"},
		{plan.Plan{Agents: []*plan.Agent{a}}, "agent.x", `there is no target "agent.x"`},
		{plan.Plan{Agents: []*plan.Agent{a}}, "a", `there is no target "a"`},
		{plan.Plan{}, "", "there is nothing to run"},
	} {
		got, err := pickTarget(&c.plan, c.target)
		if err != nil {
			if !strings.HasPrefix(err.Error(), c.want) || errdef.Remedy(err) == "" {
				t.Errorf("target %q: %v, want %s", c.target, err, c.want)
			}
			continue
		}
		if got.name != c.want {
			t.Errorf("target %q: %s, want %s", c.target, got.name, c.want)
		}
	}
}

func TestKeepHoldsSandboxesUntilTheEndOfTheContext(t *testing.T) {
	h := newHarness(t, single(nil), llms(echo()))
	h.cfg.Keep = true
	ctx, cancel := context.WithCancel(t.Context())
	h.watch = func(e event.Event) {
		if w, ok := e.Data.(event.Warning); ok && strings.Contains(w.Message, "kept") {
			p := h.host.plugin("sandbox-mock")
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.open) != 1 {
				t.Errorf("%d sandboxes are open", len(p.open))
			}
			cancel()
		}
	}
	result, err := h.run(ctx)
	if err != nil || result.Status != event.Succeeded {
		t.Errorf("%v, %+v", err, result)
	}
}

func TestSandboxAloneNeedsAMainProcess(t *testing.T) {
	h := newHarness(t, &plan.Plan{Sandboxes: []*plan.Sandbox{{Name: "box", Backend: "mock"}}}, nil)
	if _, err := h.run(t.Context()); !errors.Is(err, errdef.ErrInvalid) || !strings.Contains(err.Error(), "no main process") {
		t.Errorf("got %v", err)
	}
}

func TestStageTimeout(t *testing.T) {
	p := diamond(nil)
	p.Pipelines[0].Stages[0].Timeout = time.Nanosecond
	h := newHarness(t, p, llms(answering(func(ctx context.Context, _ string) (llm.Turn, error) {
		<-ctx.Done()
		return llm.Turn{}, ctx.Err()
	})))
	_, err := h.run(t.Context())
	if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "longer than 1ns") || errdef.Remedy(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestSandboxThatCannotBeMade(t *testing.T) {
	h := newHarness(t, single(nil), llms(echo()))
	h.host.prepare = func(s *testsandbox.Sandbox) {
		s.Fail = func(method string) error {
			if method == "Info" {
				return errdef.New(errdef.ErrUnavailable, "no answer")
			}
			return nil
		}
	}
	if _, err := h.run(t.Context()); !errors.Is(err, errdef.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestVMThatStopsEndsItsStageAtOnce(t *testing.T) {
	stopped := make(chan struct{})
	h := newHarness(t, single(nil), llms(answering(func(ctx context.Context, _ string) (llm.Turn, error) {
		close(stopped)
		<-ctx.Done() // a model that thinks for ever does not hold the run up
		return llm.Turn{}, ctx.Err()
	})))
	h.cfg.Plan.Agents[0].Sandbox.Backend = "qemu"
	h.cfg.newVM = func(context.Context, sandbox.VMConfig) (box, error) {
		return fakeVM{h.host.newSandbox(), new(bool), stopped}, nil
	}
	_, err := h.run(t.Context())
	var lost *agent.SandboxError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "panicked") || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
