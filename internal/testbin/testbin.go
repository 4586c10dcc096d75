// Package testbin builds voidbox's programs for tests that need them as users have them: binaries beside each other in one
// directory. They are built once for a test process, from the tree as it is, so a test never runs yesterday's code.
package testbin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// programs are the binaries by name, with the package that each is built from.
var programs = map[string]string{
	"voidbox":                "./cmd/voidbox",
	"voidbox-guest-agent":    "./guest/agent",
	"claude-stand-in":        "./guest/claude-stand-in",
	"voidbox-vmm-kvm":        "./plugins/vmm-kvm",
	"voidbox-vmm-qemu":       "./plugins/vmm-qemu",
	"voidbox-share-virtiofs": "./plugins/share-virtiofs",
	"voidbox-network-slirp":  "./plugins/net-slirp",
	"voidbox-sandbox-mock":   "./plugins/sandbox-mock",
	"voidbox-llm-claude":     "./plugins/llm-claude",
	"voidbox-llm-ollama":     "./plugins/llm-ollama",
	"voidbox-llm-openai":     "./plugins/llm-openai",
	"voidbox-llm-replay":     "./plugins/llm-replay",
}

var build = sync.OnceValues(buildAll)

// Dir returns the directory that holds the binaries. Remove it in TestMain with Remove.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Build is Dir for a TestMain, which has no testing.TB.
func Build() (string, error) { return build() }

// Run runs the tests and removes the binaries. Use it as os.Exit(testbin.Run(m)).
func Run(m *testing.M) int {
	defer func() {
		if built != "" {
			os.RemoveAll(built)
		}
	}()
	return m.Run()
}

var built string

func buildAll() (string, error) {
	dir, err := os.MkdirTemp("", "voidbox-bin-")
	if err != nil {
		return "", err
	}
	built = dir
	var wg sync.WaitGroup
	errs := make(chan error, len(programs))
	for name, pkg := range programs {
		wg.Go(func() { errs <- buildOne(filepath.Join(dir, name), pkg) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return "", err
		}
	}
	return dir, nil
}

func buildOne(output, pkg string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-o", output, pkg)
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Root returns the root of the source tree.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	if !filepath.IsAbs(file) { // -trimpath: tests run in their package's directory
		dir, err := os.Getwd()
		for err == nil && dir != "/" {
			if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
				return dir
			}
			dir = filepath.Dir(dir)
		}
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}
