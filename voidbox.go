// Package voidbox runs commands and AI agents in disposable micro-VMs.
//
// A sandbox is a machine of its own, with its own kernel:
//
//	box, err := voidbox.NewSandbox().Run("/bin/sh", "-c", "sleep infinity").CPUs(2).MemoryMB(512).Build(ctx)
//	if err != nil { ... }
//	defer box.Shutdown(ctx)
//	if err := box.WaitReady(ctx); err != nil { ... }
//	out, err := box.Exec(ctx, "uname -a", nil)
//
// It has a network when it is asked for one, and then as much of it as is named:
//
//	voidbox.NewSandbox().Run("sleep", "infinity").Allow("*.pypi.org:443").Service("ollama", "10.0.2.2:11434", "127.0.0.1:11434").Publish(8080)
//
// An agent is a prompt, skills and a model bound to a sandbox, and agents compose into pipelines:
//
//	analyst := voidbox.NewAgent("analyst").LLM(llm).Prompt("Find three facts about micro-VMs.")
//	writer := voidbox.NewAgent("writer").LLM(llm).PromptFrom(func(in voidbox.Input) string { return "Write a report: " + in.Text() })
//	result, err := voidbox.NewPipeline("report").Pipe(analyst).Pipe(writer).Run(ctx)
//
// The builders are thin: they fill in the same plan that the language does, and the same core executes it. Programs and plugins
// (voidbox-vmm-qemu, voidbox-guest-agent, ...) are looked for in the directory that [Installation] names, else where the
// voidbox program in PATH is, else beside the running program.
package voidbox

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/voidbox-run/voidbox/core/pluginhost"
)

// guestAgent is the program that is PID 1 of every VM.
const guestAgent = "voidbox-guest-agent"

// Installation names the directory where voidbox's programs and plugins are. Empty means that they are looked for.
var Installation = os.Getenv("VOIDBOX_INSTALLATION")

// installation returns that directory.
func installation() (string, error) {
	if Installation != "" {
		return filepath.Abs(Installation)
	}
	if path, err := exec.LookPath("voidbox"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Abs(filepath.Dir(path))
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find voidbox's plugins: %w", err)
	}
	return filepath.Dir(exe), nil
}

// openHost starts a plugin host over the installation.
func openHost() (host *pluginhost.Host, agent string, err error) {
	dir, err := installation()
	if err != nil {
		return nil, "", err
	}
	host, err = pluginhost.New(pluginhost.Options{BuiltinDir: dir, Dirs: pluginhost.DefaultDirs(), Logger: slog.Default()})
	return host, filepath.Join(dir, guestAgent), err
}
