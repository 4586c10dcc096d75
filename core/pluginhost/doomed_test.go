package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/base"
)

// hostProgram is the name under which the test binary is a host that somebody kills.
const hostProgram = "doomed-host"

// runDoomedHost starts plugins from the directory of its first argument, and waits to be killed.
func runDoomedHost() {
	dir, runtime := os.Args[1], os.Args[2]
	host := must(New(Options{BuiltinDir: dir, RuntimeDir: runtime, StartTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler)}))
	for _, name := range os.Args[3:] {
		go host.Start(context.Background(), Request{Kind: base.KindLLM, Name: name})
	}
	hang()
}

// TestHostIsKilled kills a host whose plugins serve, have children, or hang before they could look at their lifeline.
func TestHostIsKilled(t *testing.T) {
	house := newHouse(t)
	alive := house.fifo(t)
	for _, name := range []string{"alive", "parent", "orphan", "sleeper"} {
		install(t, house.builtin, name)
	}
	runtime := must(os.MkdirTemp("", "ph"))
	cmd := exec.Command(must(os.Executable()), house.builtin, runtime, "alive", "parent", "orphan")
	cmd.Args = append([]string{hostProgram}, cmd.Args[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	alive.wait(t, "voidbox-llm-alive", "voidbox-llm-parent", "voidbox-llm-sleeper", "voidbox-llm-orphan")

	killed := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	alive.waitAllDead(t)
	t.Logf("the last process was gone %s after the host", time.Since(killed).Round(time.Millisecond))

	// What the plugins could not remove, the next host does.
	next, err := newRuntimeDir(runtime)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(next.remove(), os.Remove(runtime)); err != nil {
		left, _ := filepath.Glob(filepath.Join(runtime, "*"))
		t.Error(fmt.Errorf("left: %v: %w", left, err))
	}
}
