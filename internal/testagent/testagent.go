// Package testagent runs real command-line agents in real VMs, with voidbox as users have it: its binary, a file, and a key that
// must stay where it belongs.
package testagent

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/core/agentimage"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// Image has the image of a recipe built, in the cache that all tests share, or ends the test as [testvm.Require] says. It returns the
// image's name.
func Image(t testing.TB, recipe string) string {
	t.Helper()
	means := testvm.Require(t)
	r, err := agentimage.Find(recipe)
	if err != nil {
		t.Fatal(err)
	}
	home, _ := os.UserHomeDir()
	b := agentimage.Builder{Cache: means.Cache, Registry: agentimage.Registry(os.Getenv, home), Progress: func(line string) { t.Log(line) }}
	ctx := image.WithProgress(t.Context(), func(line string) { t.Log(line) })
	built, err := b.Build(ctx, r, false)
	if err != nil {
		testvm.Missing(t, "no image of %s: %v", r.Title, err)
	}
	return built.Name
}

// Trial is one run of voidbox.
type Trial struct {
	File   string            // the configuration
	Vars   map[string]string // for it
	Env    []string          // beside the test's own environment
	Server *modelserver.Server
	// Key is looked for, while the server's second request waits, in every process of the run but those that must have it, and
	// afterwards in all that the run has left or printed. Empty looks for nothing.
	Key string
}

// Outcome is what came of it.
type Outcome struct {
	run.Result
	Err      error
	Said     string   // on standard output and error
	Searched []string // processes in which the key was looked for
}

// Run carries out the trial.
func (trial Trial) Run(t *testing.T) Outcome {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"run", "--run-dir", dir}
	for name, value := range trial.Vars {
		args = append(args, "--var", name+"="+value)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(testbin.Dir(t), "voidbox"), append(args, trial.File)...)
	cmd.Env = append(os.Environ(), trial.Env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	look := NewSearch(t, cmd.Process.Pid, trial.Key)
	if trial.Server != nil && trial.Key != "" {
		trial.Server.Watch(look.Request)
	}
	out := Outcome{Err: cmd.Wait(), Said: said.String(), Searched: look.Searched()}
	if raw, err := os.ReadFile(filepath.Join(dir, "result.json")); err == nil {
		if err := json.Unmarshal(raw, &out.Result); err != nil {
			t.Error(err)
		}
	}
	if trial.Key != "" {
		look.Left(dir, out.Said)
	}
	return out
}
