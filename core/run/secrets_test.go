package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

const canary = "s3cret-canary-0123456789"

func TestSecretsReachNeitherSinksNorTheRunDirectory(t *testing.T) {
	model := &testllm.LLM{}
	model.Turn = func(_ context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
		for _, piece := range []string{"it is s3cret-", "canary-01234", "56789, no more"} {
			if err := progress(llm.Progress{Delta: &llm.Text{Text: piece}}); err != nil {
				return llm.Turn{}, err
			}
		}
		if len(req.Messages) == 1 {
			return testllm.Call("bash", `{"command": "echo `+canary+`"}`, canary, `{"k": "`+canary+`"}`), nil
		}
		if !strings.Contains(req.Messages[2].Parts[0].ToolResult.Content, canary) {
			t.Error("the model itself must see what the tools say")
		}
		return testllm.Say("it is " + canary + ", no more"), nil
	}
	p := single(func(run *plan.AgentRun) { run.Prompt = canary })
	p.Secrets = []plan.Secret{{Name: "canary", Value: canary}}
	h := newHarness(t, p, llms(model))
	result, err := h.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Output != "it is (sensitive), no more" {
		t.Errorf("output %q", result.Output)
	}
	var pieces strings.Builder
	for _, e := range h.events {
		if text, ok := e.Data.(event.Text); ok && text.Partial {
			pieces.WriteString(text.Text)
		}
		if strings.Contains(fmt.Sprintf("%+v", e), canary) {
			t.Errorf("a sink was told %+v", e)
		}
	}
	if got, want := pieces.String(), strings.Repeat("it is (sensitive), no more", 2); got != want {
		t.Errorf("the pieces read %q", got)
	}
	noCanaryIn(t, h.cfg.RunDir)
}

func noCanaryIn(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), canary) || strings.Contains(path, canary) {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}

func TestSecretInAnErrorIsHidden(t *testing.T) {
	p := single(nil)
	p.Secrets = []plan.Secret{{Value: canary}}
	h := newHarness(t, p, llms(answering(func(context.Context, string) (llm.Turn, error) {
		return llm.Turn{}, fmt.Errorf("401 for key %s", canary)
	})))
	_, err := h.run(t.Context())
	var model *agent.ModelError
	if err == nil || strings.Contains(err.Error(), canary) || !errors.As(err, &model) {
		t.Errorf("got %v", err)
	}
}
