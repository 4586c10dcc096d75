package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/voidbox-run/voidbox"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testimage"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// bootLimit is a safety net: under emulation on a busy machine a boot takes its time.
const bootLimit = 3 * time.Minute

func TestMain(m *testing.M) {
	dir, err := testbin.Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	voidbox.Installation = dir
	os.Exit(testbin.Run(m))
}

// requireVM also keeps what voidbox writes out of the user's home. Sockets live below it, so its path is short.
func requireVM(t *testing.T) {
	t.Helper()
	testvm.Require(t)
	dir, err := os.MkdirTemp("", "vb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("XDG_RUNTIME_DIR", dir)
}

func TestProgram(t *testing.T) {
	requireVM(t)
	expect(t, job{code: "code"}, "output: computing in Linux with 2 CPUs\nresults: {\"answer\": 42}\n")
}

// A script that fails is reported with what it wrote, and there are no results to print.
func TestScriptThatFails(t *testing.T) {
	requireVM(t)
	code := t.TempDir()
	if err := os.WriteFile(filepath.Join(code, "script.sh"), []byte("echo so far; echo broken >&2; touch /mnt/code/x 2>/dev/null || exit 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, job{code: code}, "output: so far\nthe script failed with 3: broken\n")
	if left, _ := filepath.Glob(code + "/*"); len(left) != 1 {
		t.Errorf("a read-only directory was written: %v", left)
	}
}

// The same in a Debian that has Python.
func TestProgramWithPython(t *testing.T) {
	if testing.Short() {
		t.Skip("a distribution takes minutes to make")
	}
	requireVM(t)
	layer, err := tarball.LayerFromFile(testvm.Archive(t), tarball.WithCompressionLevel(1))
	if err != nil {
		t.Fatal(err)
	}
	layout := testimage.Layout(t, map[string]v1.Image{"12": testimage.Image(t, v1.Config{Cmd: []string{"python3"}}, layer)})
	cache := testvm.Require(t).Cache
	t.Cleanup(func() {
		if _, err := cache.RemoveImage(context.Background(), "oci:"+layout); err != nil {
			t.Errorf("the image stays in the cache: %v", err)
		}
	})
	expect(t, job{code: "code", image: "oci:" + layout}, "output: computing in Linux with 2 CPUs\nresults: {\"answer\": 42}\n")
}

func expect(t *testing.T, j job, want string) {
	t.Helper()
	j.backend, j.ready = "qemu", bootLimit
	var out bytes.Buffer
	if err := j.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// TestFile follows the first lines of sandbox.hcl.
func TestFile(t *testing.T) {
	requireVM(t)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(testbin.Dir(t), "voidbox"), args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("voidbox %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
		return stdout.String()
	}
	t.Cleanup(func() {
		_ = exec.Command(filepath.Join(testbin.Dir(t), "voidbox"), "sandbox", "remove", "--force", "job").Run()
	})
	run("sandbox", "create", "job", "--file", "sandbox.hcl", "--var", "backend=qemu")
	if out := run("exec", "job", "--", "sh", "/mnt/code/script.sh"); out != "computing in Linux with 2 CPUs\n" {
		t.Errorf("the script says %q", out)
	}
	if out := run("exec", "job", "--", "cat", "/tmp/results.json"); out != "{\"answer\": 42}\n" {
		t.Errorf("the results are %q", out)
	}
	// What it may not: write the code, reach anybody.
	for _, line := range []string{"touch /mnt/code/x", "ip route get 192.0.2.1"} {
		if err := exec.Command(filepath.Join(testbin.Dir(t), "voidbox"), "exec", "job", "--", "sh", "-c", line).Run(); err == nil {
			t.Errorf("%s: it may", line)
		}
	}
	run("sandbox", "stop", "job")
	run("sandbox", "remove", "job")
}
