package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/voidbox-run/voidbox/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Run(m)) }

// TestScripts runs what a user types, with the programs as they are installed. Each script has a home, a state and a runtime
// directory of its own; scripts must not need a VM (those are in vm_test.go).
func TestScripts(t *testing.T) {
	bin := testbin.Dir(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("BIN", bin)
			env.Setenv("EXAMPLES", filepath.Join(testbin.Root(), "examples"))
			for _, name := range []string{"HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"} {
				dir := filepath.Join(env.WorkDir, "."+name)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return err
				}
				env.Setenv(name, dir)
			}
			return nil
		},
	})
}
