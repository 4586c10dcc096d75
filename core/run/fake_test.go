package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/internal/testsandbox"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/share"
	"github.com/voidbox-run/voidbox/sdk/skill"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(withBinaries{m}) }

// withBinaries removes the programs that the end-to-end tests built.
type withBinaries struct{ *testing.M }

func (m withBinaries) Run() int { return testbin.Run(m.M) }

// fakeHost has a mock sandbox plugin, a QEMU that boots nothing, and the LLM plugins that a test gives it.
type fakeHost struct {
	t    *testing.T
	llms map[string]llm.LLM // by name of the plugin
	// prepare, when set, is told of every sandbox that is made.
	prepare func(*testsandbox.Sandbox)
	missing map[string]bool // plugins that are not installed, such as vmm-qemu

	mu        sync.Mutex
	pinned    map[string]string // images of packages
	started   []string
	plugins   []*fakePlugin
	sandboxes []*testsandbox.Sandbox
}

func (h *fakeHost) Find(_ context.Context, kind base.Kind, name string) error {
	full := string(kind) + "-" + name
	known := full == "sandbox-mock" || full == "vmm-qemu" || full == "vmm-kvm" || full == "network-slirp" || full == "network-tap" || full == "share-virtiofs" || kind == base.KindLLM && h.llms[name] != nil
	if known && !h.missing[full] {
		return nil
	}
	return errdef.New(errdef.ErrNotFound, "plugin %s is not installed", full).WithReason(pluginhost.ReasonNotFound)
}

func (h *fakeHost) Capabilities(ctx context.Context, kind base.Kind, name string) ([]string, error) {
	able := map[string][]string{"kvm": {vmm.CapNet, vmm.CapFS}, "slirp": {network.CapPolicy, network.CapPublish, network.CapPcap}}[name]
	return able, h.Find(ctx, kind, name)
}

func (h *fakeHost) PinnedImage(packages string) string { return h.pinned[packages] }

func (h *fakeHost) RememberImage(packages, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pinned == nil {
		h.pinned = map[string]string{}
	}
	h.pinned[packages] = id
	return nil
}

func (h *fakeHost) Start(ctx context.Context, req pluginhost.Request) (Plugin, error) {
	if err := h.Find(ctx, req.Kind, req.Name); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &fakePlugin{host: h, name: fmt.Sprintf("%s-%s", req.Kind, req.Name), exited: make(chan struct{})}
	if req.Kind == base.KindLLM {
		p.llm = h.llms[req.Name]
	}
	h.started = append(h.started, p.name)
	h.plugins = append(h.plugins, p)
	return p, nil
}

// plugin returns the first that was started under a name.
func (h *fakeHost) plugin(name string) *fakePlugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.plugins {
		if p.name == name {
			return p
		}
	}
	h.t.Errorf("plugin %s was never started", name)
	return nil
}

type fakePlugin struct {
	host   *fakeHost
	name   string
	llm    llm.LLM
	exited chan struct{}

	mu     sync.Mutex
	err    error
	closed bool
	next   int
	open   map[string]*testsandbox.Sandbox
}

func (p *fakePlugin) LLM() llm.LLM              { return p.llm }
func (p *fakePlugin) Sandbox() sandbox.Provider { return p }
func (p *fakePlugin) VMM() vmm.VMM              { return nil }
func (p *fakePlugin) Network() network.Network  { return nil }
func (p *fakePlugin) Share() share.Share        { return nil }
func (p *fakePlugin) Skill() skill.Skill        { return nil }
func (p *fakePlugin) RuntimeDir() string        { return "" }
func (p *fakePlugin) Exited() <-chan struct{}   { return p.exited }

func (p *fakePlugin) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *fakePlugin) Close(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// die ends the plugin as if its process had crashed.
func (p *fakePlugin) die() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = &pluginhost.ExitError{Plugin: p.name, Status: "exit status 2"}
	close(p.exited)
}

func (p *fakePlugin) Create(context.Context, sandbox.Spec) (string, sandbox.Sandbox, error) {
	s := p.host.newSandbox()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	id := fmt.Sprint(p.next)
	if p.open == nil {
		p.open = map[string]*testsandbox.Sandbox{}
	}
	p.open[id] = s
	return id, s, nil
}

func (p *fakePlugin) Destroy(_ context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, id)
	return nil
}

func (h *fakeHost) newSandbox() *testsandbox.Sandbox {
	s := testsandbox.New(h.t)
	if h.prepare != nil {
		h.prepare(s)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sandboxes = append(h.sandboxes, s)
	return s
}

// fakeVM is a VM on testsandbox.
type fakeVM struct {
	*testsandbox.Sandbox
	closed  *bool
	stopped chan struct{}
}

func (v fakeVM) Accelerator() string         { return "tcg" }
func (v fakeVM) Stopped() <-chan struct{}    { return v.stopped }
func (v fakeVM) Err() error                  { return errdef.New(errdef.ErrUnavailable, "the guest kernel panicked") }
func (v fakeVM) Close(context.Context) error { *v.closed = true; return nil }

// harness runs a plan on a fakeHost and keeps what it reports.
type harness struct {
	t    *testing.T
	host *fakeHost
	cfg  Config

	started *Run

	mu     sync.Mutex
	events []event.Event
	watch  func(event.Event)
}

func newHarness(t *testing.T, p *plan.Plan, llms map[string]llm.LLM) *harness {
	h := &harness{t: t, host: &fakeHost{t: t, llms: llms, missing: map[string]bool{}}}
	images, err := image.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.cfg = Config{
		Plan: p, Host: h.host, Images: images, RunDir: t.TempDir(), Version: "test", Sinks: []event.Sink{event.SinkFunc(h.event)},
		kvm: func() error { return errors.New("no kvm in tests") },
	}
	return h
}

func (h *harness) event(e event.Event) {
	h.mu.Lock()
	h.events = append(h.events, e)
	watch := h.watch
	h.mu.Unlock()
	if watch != nil {
		watch(e)
	}
}

// run runs the plan, and checks what must hold of every run: gapless events with one end, and nothing left open.
func (h *harness) run(ctx context.Context) (Result, error) {
	h.t.Helper()
	r, err := New(h.cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.started = r
	result, err := r.Run(ctx)
	for i, e := range h.events {
		if e.Seq != uint64(i+1) {
			h.t.Errorf("event %d has the number %d", i+1, e.Seq)
		}
		if _, last := e.Data.(event.RunFinished); last != (i == len(h.events)-1) {
			h.t.Errorf("event %d of %d is %s", i+1, len(h.events), e.Data.Type())
		}
	}
	for _, p := range h.host.plugins {
		if !p.closed {
			h.t.Errorf("plugin %s was not closed", p.name)
		}
		if len(p.open) > 0 {
			h.t.Errorf("plugin %s still holds %d sandboxes", p.name, len(p.open))
		}
	}
	h.checkRecord(result)
	return result, err
}

// checkRecord holds the run directory against what was reported.
func (h *harness) checkRecord(result Result) {
	var stored Result
	content, err := os.ReadFile(h.cfg.RunDir + "/result.json")
	if err == nil {
		err = json.Unmarshal(content, &stored)
	}
	if err != nil || stored.Status != result.Status || stored.Run != result.Run {
		h.t.Errorf("result.json: %v, %+v", err, stored)
	}
	lines := strings.Split(strings.TrimSpace(h.record("events.jsonl")), "\n")
	var whole int
	for _, e := range h.events {
		if text, ok := e.Data.(event.Text); !ok || !text.Partial {
			whole++
		}
	}
	if len(lines) != whole {
		h.t.Errorf("events.jsonl has %d lines for %d events", len(lines), whole)
	}
}

func (h *harness) record(name string) string {
	f, err := os.Open(h.cfg.RunDir + "/" + name)
	if err != nil {
		h.t.Error(err)
		return ""
	}
	defer f.Close()
	content, _ := io.ReadAll(f)
	return string(content)
}

// types are the types of the events, those of one stage only unless stage is "*".
func (h *harness) types(stage string) string {
	var types []string
	for _, e := range h.events {
		if stage == "*" || e.Stage == stage {
			types = append(types, e.Data.Type())
		}
	}
	return strings.Join(types, " ")
}

// single is a plan of one agent.
func single(edit func(*plan.AgentRun)) *plan.Plan {
	a := agentOf("solo", edit)
	return &plan.Plan{Name: "test", Sandboxes: []*plan.Sandbox{a.Sandbox}, LLMs: []*plan.LLM{a.LLM}, Agents: []*plan.Agent{a}}
}

func agentOf(name string, edit func(*plan.AgentRun)) *plan.Agent {
	a := &plan.Agent{
		Name:    name,
		Sandbox: &plan.Sandbox{Name: "box", Backend: plan.BackendMock},
		LLM:     &plan.LLM{Block: plan.Block{Plugin: "fake", Label: "main"}},
	}
	a.Bind = func() (*plan.AgentRun, error) {
		run := &plan.AgentRun{Agent: name, Sandbox: a.Sandbox, LLM: a.LLM, Skills: a.Skills, Prompt: "prompt of " + name}
		if edit != nil {
			edit(run)
		}
		return run, nil
	}
	return a
}

// diamond is a pipeline: a, then b and c, then d, over one sandbox and one LLM block.
func diamond(edit func(stage string, run *plan.AgentRun)) *plan.Plan {
	p := &plan.Plan{Name: "test"}
	line := &plan.Pipeline{Name: "diamond"}
	first := agentOf("a", nil)
	for _, s := range []struct {
		name  string
		needs []string
	}{{"a", nil}, {"b", []string{"a"}}, {"c", []string{"a"}}, {"d", []string{"b", "c"}}} {
		agent := agentOf(s.name, nil)
		agent.Sandbox, agent.LLM = first.Sandbox, first.LLM
		bind := agent.Bind
		stage := &plan.Stage{Name: s.name, Needs: s.needs, Agent: agent}
		stage.Bind = func(results plan.Results) (*plan.AgentRun, error) {
			run, err := bind()
			for _, need := range s.needs {
				run.Prompt += " <" + results[need].Output + ">"
			}
			if edit != nil {
				edit(s.name, run)
			}
			return run, err
		}
		line.Stages = append(line.Stages, stage)
		p.Agents = append(p.Agents, agent)
	}
	line.Outputs = []*plan.Output{
		{Name: "report", Value: func(r plan.Results) (any, error) { return r["d"].Output, nil }},
		{Name: "hidden", Sensitive: true, Value: func(plan.Results) (any, error) { return "hush", nil }},
	}
	p.Pipelines = []*plan.Pipeline{line}
	return p
}

// echo answers each prompt with "re: " and the prompt.
func echo() *testllm.LLM {
	return answering(func(_ context.Context, prompt string) (llm.Turn, error) { return testllm.Say("re: " + prompt), nil })
}

// answering asks f for a turn for each request, with the prompt of its conversation.
func answering(f func(ctx context.Context, prompt string) (llm.Turn, error)) *testllm.LLM {
	return &testllm.LLM{Turn: func(ctx context.Context, req llm.Request, _ func(llm.Progress) error) (llm.Turn, error) {
		return f(ctx, req.Messages[0].Parts[0].Text)
	}}
}
