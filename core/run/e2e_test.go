package run_test

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/voidbox-run/voidbox/core/config"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testimage"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// backends runs a test on the mock and in real VMs, with the plugins as users have them.
func backends(t *testing.T, test func(t *testing.T, w *world)) {
	for _, backend := range []string{"mock", "qemu"} {
		t.Run(backend, func(t *testing.T) {
			w := &world{t: t, backend: backend}
			if backend == "qemu" {
				w.images = testvm.Require(t).Cache
			}
			test(t, w)
		})
	}
}

// world is a plugin host over the programs of this tree.
type world struct {
	t       *testing.T
	backend string
	images  *image.Cache

	record    string            // see run.Config
	modelURL  string            // of the scripted model, if the file takes one as base_url
	skillsURL string            // of the skills' archive, if the file takes one as server
	extra     map[string]string // variables of the example
	imageName string            // of an image that the test has made; empty leaves the example its own

	mu     sync.Mutex
	events []event.Event
	watch  func(event.Event) // told of every event; may be nil

	plugins []*pluginhost.Instance // that were started
}

// spy remembers what was started.
type spy struct {
	run.Host
	w *world
}

func (s spy) Start(ctx context.Context, req pluginhost.Request) (run.Plugin, error) {
	p, err := s.Host.Start(ctx, req)
	if err == nil {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		s.w.plugins = append(s.w.plugins, p.(*pluginhost.Instance))
	}
	return p, err
}

func (w *world) host() *pluginhost.Host {
	w.t.Helper()
	// Socket paths are short, and those of t.TempDir are not.
	runtime, err := os.MkdirTemp("", "vb")
	if err != nil {
		w.t.Fatal(err)
	}
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: testbin.Dir(w.t), RuntimeDir: runtime})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			w.t.Errorf("close the plugin host: %v", err)
		}
		if left, _ := filepath.Glob(runtime + "/*"); len(left) > 0 {
			w.t.Errorf("left behind: %v", left)
		}
		os.RemoveAll(runtime)
	})
	return host
}

// execute runs a plan that load makes with the host's plugins at hand.
func (w *world) execute(ctx context.Context, load func(*pluginhost.Host) *plan.Plan) (run.Result, error) {
	w.t.Helper()
	host := w.host()
	r, err := run.New(run.Config{
		Plan: load(host), Host: spy{run.Plugins(host), w}, Images: w.images, Agent: filepath.Join(testbin.Dir(w.t), image.AgentName),
		Terminal: person, Record: w.record, Broker: filepath.Join(testbin.Dir(w.t), "voidbox"), RunDir: filepath.Join(w.t.TempDir(), "run"), Sinks: []event.Sink{event.SinkFunc(func(e event.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
			if w.watch != nil {
				w.watch(e)
			}
		})},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Run(ctx)
}

// model starts the scripted model of an example that needs one.
func (w *world) model(example string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(example), "models", strings.TrimSuffix(filepath.Base(example), ".hcl")+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var cfg modelserver.Config
	if err == nil {
		err = json.Unmarshal(text, &cfg)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	_, w.modelURL = modeltest.Serve(w.t, cfg)
}

// image makes an image for the example that runs one, in the place of a registry's. The mock has none.
func (w *world) image(example string) {
	w.t.Helper()
	if filepath.Base(example) != "image.hcl" || w.backend == "mock" {
		return
	}
	busybox, err := w.images.Busybox(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.imageName = "oci:" + testimage.Layout(w.t, map[string]v1.Image{"1": testimage.Image(w.t, v1.Config{}, testimage.Busybox(w.t, busybox))})
	w.t.Cleanup(func() {
		if _, err := w.images.RemoveImage(context.Background(), w.imageName); err != nil {
			w.t.Error(err)
		}
	})
}

// skills serves the skills of the examples as an archive, for the example that fetches one. Nothing of it stays in the user's cache.
func (w *world) skills(example string) {
	w.t.Helper()
	if filepath.Base(example) != "remote_skills.hcl" {
		return
	}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		tape := tar.NewWriter(out)
		defer tape.Close()
		if err := tape.AddFS(os.DirFS(filepath.Dir(example))); err != nil || r.URL.Path != "/skills.tar" {
			w.t.Errorf("%s: %v", r.URL, err)
		}
	}))
	w.t.Cleanup(server.Close)
	w.skillsURL = server.URL
	if w.images == nil {
		cache, err := image.OpenCache(w.t.TempDir())
		if err != nil {
			w.t.Fatal(err)
		}
		w.images = cache
	}
}

// claude puts the stand-in in the place of Claude Code, for the example that a person talks to.
func (w *world) claude(example string) {
	if filepath.Base(example) != "claude_in_voidbox.hcl" {
		return
	}
	w.extra = map[string]string{"image": "base", "command": "claude-stand-in"}
	if w.backend != "mock" {
		w.extra = map[string]string{"image": "base", "command_file": filepath.Join(testbin.Dir(w.t), "claude-stand-in")}
	}
}

// person is one who says goodbye at once. TestInteractiveAgent of cmd/voidbox has one who does more.
func person(ctx context.Context, box sandbox.Sandbox, cmd sandbox.Command) (sandbox.Exit, error) {
	cmd.Pty = &sandbox.Pty{Size: sandbox.WindowSize{Rows: 24, Cols: 80}}
	return box.Exec(ctx, cmd, sandbox.IO{Stdin: strings.NewReader("/exit\r")})
}

func (w *world) vars() map[string]string {
	vars := map[string]string{"backend": w.backend}
	if w.modelURL != "" {
		vars["base_url"] = w.modelURL
	}
	if w.skillsURL != "" {
		vars["server"] = w.skillsURL
	}
	if w.imageName != "" {
		vars["image"] = w.imageName
	}
	for name, value := range w.extra {
		vars[name] = value
	}
	return vars
}

// file loads a plan of the language for the world's backend.
func (w *world) file(path string) func(*pluginhost.Host) *plan.Plan {
	return func(host *pluginhost.Host) *plan.Plan {
		w.t.Helper()
		p, _, diags := config.Load(w.t.Context(), path, config.Options{
			Vars: w.vars(), LookupEnv: func(string) (string, bool) { return "offline", true },
			Describe: func(ctx context.Context, kind base.Kind, name string) (base.Description, error) {
				found, err := host.Describe(ctx, kind, name)
				return found.Description, err
			},
		})
		if p == nil {
			w.t.Fatalf("%s: %v", path, diags)
		}
		return p
	}
}

// calls are the tool calls of all stages with their arguments, sorted, since stages may overtake each other.
func (w *world) calls() []string {
	var calls []string
	for _, e := range w.events {
		if c, ok := e.Data.(event.ToolCall); ok {
			calls = append(calls, fmt.Sprintf("%s %s %s", e.Stage, c.Tool, c.Arguments))
		}
	}
	slices.Sort(calls)
	return calls
}

// types are the types of the events of each stage, without what depends on the backend: the steps of its boot, what it warns that it
// cannot do, and, since its uname is another, into how many pieces a text falls.
func (w *world) types() map[string]string {
	types := map[string]string{}
	for _, e := range w.events {
		text, isText := e.Data.(event.Text)
		if e.Data.Type() == "sandbox_progress" || e.Data.Type() == "warning" || isText && text.Partial {
			continue
		}
		types[e.Stage] += " " + e.Data.Type()
	}
	return types
}

func TestExamplesDoTheSameOnBothBackends(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.hcl")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if filepath.Base(file) == "codex.hcl" {
			continue // no mock has a Codex; test/cli runs it
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			seen := map[string]*world{}
			backends(t, func(t *testing.T, w *world) {
				w.model(file)
				w.skills(file)
				w.image(file)
				w.claude(file)
				result, err := w.execute(t.Context(), w.file(file))
				if err != nil {
					t.Fatalf("%v\n%+v", err, result)
				}
				seen[w.backend] = w
			})
			mock, vm := seen["mock"], seen["qemu"]
			if mock == nil || vm == nil {
				return // it has failed, or this machine has no VMs and has said so
			}
			if !slices.Equal(mock.calls(), vm.calls()) {
				t.Errorf("tool calls\nmock %q\nVM   %q", mock.calls(), vm.calls())
			}
			switch filepath.Base(file) {
			case "boot_diag.hcl": // its output comes in pieces
			case "network.hcl", "fetch.hcl", "claude_in_voidbox.hcl", "hackernews.hcl", "code_review.hcl": // a mock has none, and says so
			default:
				compare(t, mock.types(), vm.types())
			}
		})
	}
}

func compare(t *testing.T, mock, vm map[string]string) {
	t.Helper()
	for stage, types := range mock {
		if vm[stage] != types {
			t.Errorf("events of stage %q\nmock %s\nVM   %s", stage, types, vm[stage])
		}
	}
}

// agentPlan is a plan of one agent that asks a scripted model server.
func agentPlan(backend, server, prompt string, first ...string) *plan.Plan {
	config, _ := json.Marshal(map[string]string{"server": server})
	box := &plan.Sandbox{Name: "box", Backend: backend, Image: plan.ImageBase, CPUs: 1, MemoryBytes: plan.DefaultMemoryBytes, ReadyTimeout: 2 * time.Minute}
	if len(first) > 0 {
		box.Main = first
	}
	model := &plan.LLM{Block: plan.Block{Plugin: "replay", Label: "main", Config: config}}
	a := &plan.Agent{Name: "seeker", Sandbox: box, LLM: model}
	a.Bind = func() (*plan.AgentRun, error) {
		return &plan.AgentRun{Agent: a.Name, Sandbox: box, LLM: model, Prompt: prompt}, nil
	}
	return &plan.Plan{Name: "nonce", Agents: []*plan.Agent{a}, LLMs: []*plan.LLM{model}, Sandboxes: []*plan.Sandbox{box}}
}

// TestAgentRepeatsANonceThatOnlyTheGuestKnows is the proof that an agent works inside its sandbox: the nonce is made by the main
// process of the sandbox, in the sandbox, and nobody on the host ever writes it down.
func TestAgentRepeatsANonceThatOnlyTheGuestKnows(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		salt := rand.Text()
		server := modeltest.Start(t, "unix",
			modelserver.Rule{Match: `nonce in (\S+)`, Call: "bash", Arguments: `{"command": "while [ ! -s ${1} ]; do sleep 0.1; done; cat ${1}"}`},
			modelserver.Rule{Tool: "bash", Match: `nonce=(\S+)`, Call: "write", Arguments: `{"path": "/tmp/copy", "content": "copied ${1}"}`},
			modelserver.Rule{Tool: "write", Match: `.`, Call: "read", Arguments: `{"path": "/tmp/copy"}`},
			modelserver.Rule{Tool: "read", Match: `copied (\S+)`, Say: "The nonce is ${1}."},
		)
		// The guest's own kernel makes the nonce; where there is none, as on the mock, the test does.
		maker := []string{"/bin/sh", "-c", `{ cat /proc/sys/kernel/random/uuid 2>/dev/null || echo "$0"; } > /tmp/n; echo "nonce=$(cat /tmp/n)" > /tmp/nonce; sleep 100000`, salt}
		result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
			return agentPlan(w.backend, server, "find the nonce in /tmp/nonce", maker...)
		})
		if err != nil {
			t.Fatal(err)
		}
		var read string
		for _, e := range w.events {
			if r, ok := e.Data.(event.ToolResult); ok && r.Tool == "bash" {
				read = strings.TrimSpace(strings.TrimPrefix(r.Content, "nonce="))
			}
		}
		if len(read) < 20 || w.backend != "mock" && read == salt || result.Output != "The nonce is "+read+"." {
			t.Errorf("the guest says %q, the agent %q", read, result.Output)
		}
		if got := result.Stages["seeker"].Tools; !slices.Equal(got, []string{"bash", "write", "read"}) {
			t.Errorf("tools %v", got)
		}
	})
}

func TestCancelledRunsLeaveNothingBehind(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		server := modeltest.Start(t, "unix", modelserver.Rule{Match: `.`, Call: "bash", Arguments: `{"command": "sleep 100000"}`})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.watch = func(e event.Event) {
			if e.Data.Type() == "tool_call" {
				cancel()
			}
		}
		result, err := w.execute(ctx, func(*pluginhost.Host) *plan.Plan { return agentPlan(w.backend, server, "x") })
		if result.Status != event.Cancelled || run.ExitCode(err) != run.ExitCancelled {
			t.Errorf("%v: %+v", err, result)
		}
		if last := w.types()["seeker"]; !strings.HasSuffix(last, "sandbox_stopped stage_finished") {
			t.Errorf("events of the stage:%s", last)
		}
	})
}

func TestPluginKilledInMidRunEndsIt(t *testing.T) {
	for _, victim := range []base.Kind{base.KindLLM, ""} {
		name := string(victim)
		if name == "" {
			name = "backend"
		}
		t.Run(name, func(t *testing.T) {
			backends(t, func(t *testing.T, w *world) {
				server := modeltest.Start(t, "unix", modelserver.Rule{Match: `.`, Call: "bash", Arguments: `{"command": "sleep 100000"}`})
				var killed string
				w.watch = func(e event.Event) {
					if e.Data.Type() != "tool_call" {
						return
					}
					for _, p := range w.plugins {
						if d := p.Description; (d.Kind == base.KindLLM) == (victim == base.KindLLM) {
							killed = fmt.Sprintf("%s-%s", d.Kind, d.Name)
							syscall.Kill(p.PID(), syscall.SIGKILL)
						}
					}
				}
				result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan { return agentPlan(w.backend, server, "x") })
				var dead *run.PluginError
				if !errors.As(err, &dead) || dead.Plugin != killed || !strings.Contains(err.Error(), "plugin "+killed+" died (signal: killed)") {
					t.Errorf("got %v", err)
				}
				if result.Status != event.Failed || result.Stages["seeker"].Status != event.Failed || run.ExitCode(err) != run.ExitFailed {
					t.Errorf("%+v", result)
				}
			})
		})
	}
}
