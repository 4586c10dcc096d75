package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// TestInteractiveAgent runs the example of Claude Code on a terminal, with its stand-in, as a person does. In a VM the model is asked too,
// through the broker, which is the one who counts.
func TestInteractiveAgent(t *testing.T) {
	var cfg modelserver.Config
	if err := json.Unmarshal([]byte(read(t, filepath.Join(testbin.Root(), "examples", "models", "claude_in_voidbox.json"))), &cfg); err != nil {
		t.Fatal(err)
	}
	for i := range cfg.Rules {
		cfg.Rules[i].Usage = modelserver.Usage{InputTokens: 100, OutputTokens: 10}
	}
	_, url := modeltest.Serve(t, cfg)
	t.Setenv("ANTHROPIC_API_KEY", "offline")
	example := filepath.Join(testbin.Root(), "examples", "claude_in_voidbox.hcl")
	t.Run("mock", func(t *testing.T) {
		i := install(t)
		result := talk(t, i, []string{"run", "-i", "--var", "backend=mock", "--var", "image=base", "--var", "command=claude-stand-in", "--var", "base_url=" + url, example}, func(screen *transcript, keys io.Writer) {
			screen.until("API Error") // the mock reaches nothing
			screen.until("> ")
			write(t, keys, "!echo $((40+2)) is it\r")
			screen.until("42 is it")
		})
		if result.Status != "succeeded" {
			t.Errorf("%+v", result)
		}
	})
	t.Run("qemu", func(t *testing.T) {
		if testing.Short() {
			t.Skip("a VM is too long for -short")
		}
		testvm.Require(t)
		i := install(t)
		project := t.TempDir()
		if err := os.WriteFile(filepath.Join(project, "main.go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		result := talk(t, i, []string{"run", "--var", "backend=qemu", "--var", "image=base", "--var", "command_file=" + filepath.Join(i.bin, "claude-stand-in"),
			"--var", "base_url=" + url, "--var", "project=" + project, example}, func(screen *transcript, keys io.Writer) {
			screen.until("There is: main.go.")
			write(t, keys, "!stty size </dev/tty\r")
			screen.until("30 100")
			write(t, keys, "write a note\r")
			screen.until("It is written.")
			write(t, keys, "!cat note.txt\r")
			screen.until("from the guest")
		})
		if sr := result.Stages["claude"]; sr.Totals.InputTokens < 400 || result.Totals != sr.Totals {
			t.Errorf("%+v", result)
		}
		if left := filesBelow(t, project); len(left) != 1 {
			t.Errorf("the project was changed before anybody looked: %v", left)
		}
	})
}

// talk runs voidbox on a terminal until the person says goodbye, and returns the result of the run.
func talk(t *testing.T, i *installation, args []string, person func(screen *transcript, keys io.Writer)) run.Result {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	cmd := i.command(append(args, "--run-dir", dir)...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	screen := &transcript{TB: t, r: terminal}
	screen.until("claude-stand-in: /exit ends")
	i.raw(terminal)
	person(screen, terminal)
	write(t, terminal, "/exit\r")
	screen.until("details: ")
	_, _ = io.Copy(io.Discard, terminal) // until nobody holds the other end, which is EIO
	if got := exitStatus(cmd.Wait()); got != 0 {
		t.Fatalf("status %d", got)
	}
	var result run.Result
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "result.json"))), &result); err != nil {
		t.Fatal(err)
	}
	return result
}

func TestInteractiveAgentWithoutATerminal(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "offline")
	i := install(t)
	out, err := i.command("run", "--var", "backend=mock", "--var", "image=base", "--var", "command=claude-stand-in",
		filepath.Join(testbin.Root(), "examples", "claude_in_voidbox.hcl")).CombinedOutput()
	if exitStatus(err) != exitUsage || !strings.Contains(string(out), "agent claude is interactive, and there is no terminal") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = i.command("run", "-i", "--var", "backend=mock", filepath.Join(testbin.Root(), "examples", "parallel_pipeline.hcl")).CombinedOutput()
	if exitStatus(err) != exitUsage || !strings.Contains(string(out), "has 5 agents, and you can talk to one only") {
		t.Errorf("%v: %s", err, out)
	}
}
