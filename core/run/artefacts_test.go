package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// relay is a pipeline of two: build leaves out and note.txt in its home, and use finds them in in.
func relay(artefacts ...string) *plan.Plan {
	build, use := agentOf("build", nil), agentOf("use", nil)
	use.Sandbox, use.LLM = build.Sandbox, build.LLM
	stage := func(a *plan.Agent, needs []string, edit func(*plan.AgentRun, plan.Results)) *plan.Stage {
		return &plan.Stage{Name: a.Name, Needs: needs, Agent: a, Bind: func(results plan.Results) (*plan.AgentRun, error) {
			run, err := a.Bind()
			edit(run, results)
			return run, err
		}}
	}
	return &plan.Plan{Name: "test", Pipelines: []*plan.Pipeline{{Name: "relay", Stages: []*plan.Stage{
		stage(build, nil, func(run *plan.AgentRun, _ plan.Results) { run.Artefacts = artefacts }),
		stage(use, []string{"build"}, func(run *plan.AgentRun, results plan.Results) {
			run.Files = []plan.Files{{From: results["build"].Artefacts, To: "/home/agent/in"}}
		}),
	}}}}
}

// shell is a model that has each stage run one command, and answers with what it printed.
func shell(commands map[string]string) *testllm.LLM {
	return &testllm.LLM{Turn: func(_ context.Context, req llm.Request, _ func(llm.Progress) error) (llm.Turn, error) {
		if len(req.Messages) == 1 {
			return testllm.Call("bash", fmt.Sprintf(`{"command": %q}`, commands[strings.Fields(req.Messages[0].Parts[0].Text)[2]])), nil
		}
		return testllm.Say(req.Messages[2].Parts[0].ToolResult.Content), nil
	}}
}

const buildCommand = "mkdir -p out/deep && echo one > out/deep/1 && ln -s deep/1 out/link && chmod 750 out/deep/1 && echo note > note.txt"

func TestArtefactsGoFromStageToStage(t *testing.T) {
	model := shell(map[string]string{"build": buildCommand, "use": "cat in/out/link in/note.txt && ls -l in/out/deep"})
	h := newHarness(t, relay("/home/agent/out", "/home/agent/note.txt"), llms(model))
	result, err := h.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if out := result.Output; !strings.HasPrefix(out, "one\nnote\n") || !strings.Contains(out, "-rwxr-x---") {
		t.Errorf("the second stage found %q", out)
	}
	dir := result.Stages["build"].Artefacts
	if dir != filepath.Join(h.cfg.RunDir, "artefacts", "build", "files") || h.record("artefacts/build/files/out/deep/1") != "one\n" {
		t.Errorf("they are kept in %s", dir)
	}

	// They survive the run, and one that resumes it has them too. What was changed meanwhile is found.
	again := newHarness(t, relay("/home/agent/out", "/home/agent/note.txt"), llms(model))
	again.cfg.Resume = h.cfg.RunDir
	second, err := again.run(t.Context())
	if err != nil || second.Stages["use"].ReusedFrom != result.Run || again.record("artefacts/build/files/out/link") != "one\n" {
		t.Errorf("%v: %+v", err, second)
	}
	if err := os.WriteFile(filepath.Join(dir, "note.txt"), []byte("forged\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := newHarness(t, relay("/home/agent/out", "/home/agent/note.txt"), llms(model))
	third.cfg.Resume = h.cfg.RunDir
	if last, err := third.run(t.Context()); err != nil || last.Stages["build"].ReusedFrom != "" || !strings.Contains(last.Output, "note") {
		t.Errorf("%v: %+v", err, last)
	}
	if !strings.Contains(third.record("events.jsonl"), "its artefacts are not what they were") {
		t.Error("nobody is told")
	}
}

func TestArtefactsWithoutARunDirectoryGoWithTheRun(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	h := newHarness(t, relay("/home/agent/out", "/home/agent/note.txt"), llms(shell(map[string]string{"build": buildCommand, "use": "cat in/note.txt"})))
	h.cfg.RunDir, h.cfg.NoRunDir = "", true
	r, err := New(h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.Run(t.Context())
	if err != nil || strings.TrimSpace(result.Output) != "note" {
		t.Fatalf("%v: %+v", err, result)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "voidbox-run-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestArtefactsThatAreRefused(t *testing.T) {
	const secret = "canary-0815-token"
	for _, c := range []struct {
		name, command string
		kind          error
		want          string
	}{
		{"missing", "true", errdef.ErrNotFound, "keep /home/agent/out: the agent finished without making it"},
		{"a secret", "mkdir -p out && echo a " + secret + " > out/x", errdef.ErrPermission, "it holds secret.k, which may not leave the sandbox"},
		{"a secret in a name", "mkdir -p out/" + secret, errdef.ErrPermission, "it holds secret.k"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := relay("/home/agent/out")
			p.Secrets = []plan.Secret{{Name: "secret.k", Value: secret}}
			h := newHarness(t, p, llms(shell(map[string]string{"build": c.command})))
			result, err := h.run(t.Context())
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) || errdef.Remedy(err) == "" {
				t.Errorf("got %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(h.cfg.RunDir, "artefacts", "build", "*")); len(left) > 0 || result.Stages["build"].Artefacts != "" {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// A secret is found wherever the pieces of an archive are cut.
func TestSecretIsFoundAcrossPieces(t *testing.T) {
	const secret = "canary-0815-token"
	text := []byte("before " + secret + " behind")
	for cut := range text {
		s := &secretSearch{secrets: []plan.Secret{{Name: "secret.k", Value: secret}, {Name: "short", Value: "be"}}}
		_, err := s.Write(text[:cut])
		if err == nil {
			_, err = s.Write(text[cut:])
		}
		if !errors.Is(err, errdef.ErrPermission) {
			t.Errorf("cut at %d it is missed", cut)
		}
	}
}
