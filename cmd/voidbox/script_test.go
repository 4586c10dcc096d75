package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/voidbox-run/voidbox/internal/kvmhost"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testimage"
)

func TestMain(m *testing.M) { os.Exit(testbin.Run(m)) }

// TestScripts runs what a user types, with the programs as they are installed. Each script has a home, a state and a runtime
// directory of its own; scripts must not need a VM (those are in vm_test.go).
func TestScripts(t *testing.T) {
	bin, plugins, registry := testbin.Dir(t), examplePlugins(t), exampleRegistry(t)
	testscript.Run(t, testscript.Params{
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"flipbyte": flipByte, "killshim": killShim, "noruntime": noRuntime, "status": status,
		},
		Dir: filepath.Join("testdata", "script"),
		Condition: func(name string) (bool, error) {
			switch name {
			case "kvm":
				return kvmhost.Local().Check() == nil, nil
			case "grpcio": // demanded where a missing VM is a failure
				return testbin.Python() || os.Getenv("VOIDBOX_REQUIRE_VM") == "1", nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("BIN", bin)
			env.Setenv("PLUGINS", plugins)
			env.Setenv("REGISTRY", registry)
			env.Setenv("EXAMPLES", filepath.Join(testbin.Root(), "examples"))
			for _, name := range []string{"HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"} {
				dir := filepath.Join(env.WorkDir, "."+name)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return err
				}
				env.Setenv(name, dir)
			}
			state := env.Getenv("XDG_STATE_HOME")
			env.Defer(func() { stopAll(state) })
			return nil
		},
	})
}

// exampleRegistry serves tools:1, an image of two layers, and returns its address.
func exampleRegistry(t *testing.T) string {
	t.Helper()
	registry := testimage.NewRegistry(t)
	registry.Push(t, "tools:1", testimage.Image(t, v1.Config{Entrypoint: []string{"/bin/tool"}, Env: []string{"TOOL=yes"}, User: "app"},
		testimage.Layer(t, testimage.Tar(t, testimage.File("etc/passwd", "app:x:7:7::/home/app:/bin/sh\n"))),
		testimage.Layer(t, testimage.Tar(t, testimage.Program("bin/tool", "#!/bin/sh\n")))))
	return registry.Host
}

// examplePlugins builds the plugins that lie outside of this module and returns their directory.
func examplePlugins(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"llm-echo", "skill-tickets"} {
		build := exec.Command("go", "build", "-C", filepath.Join(testbin.Root(), "examples", "plugins", name), "-o", filepath.Join(dir, "voidbox-"+name), ".")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	return dir
}

// flipByte changes one byte in the middle of a file.
func flipByte(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flipbyte file")
	}
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	content[len(content)/2] ^= 1
	ts.Check(os.WriteFile(path, content, 0o755))
}

// status runs a program that must end with a status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program [argument...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("ended with %d", code)
	}
}
