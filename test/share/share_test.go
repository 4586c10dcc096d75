package share

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox"
	"github.com/voidbox-run/voidbox/internal/testbin"
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

// guest is a VM with shares.
type guest struct {
	t   *testing.T
	box *voidbox.Sandbox
}

// boot starts a VM after the mounts were added to it.
func boot(t *testing.T, mounts func(voidbox.RunnableSandbox) voidbox.RunnableSandbox) *guest {
	t.Helper()
	testvm.Require(t)
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	ctx := t.Context()
	box, err := mounts(voidbox.NewSandbox().Run("sleep", "infinity").MemoryMB(256).Backend("qemu")).Build(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = box.Shutdown(context.WithoutCancel(ctx)) })
	if err := box.WaitReady(ctx, bootLimit); err != nil {
		t.Fatal(err)
	}
	return &guest{t: t, box: box}
}

// sh runs a shell line that must succeed, and returns its output.
func (g *guest) sh(line string) string {
	g.t.Helper()
	out, err := g.box.Exec(g.t.Context(), line, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if out.ExitCode != 0 {
		g.t.Errorf("%s: exit status %d\n%s%s", line, out.ExitCode, out.Stdout, out.Stderr)
	}
	return strings.TrimSuffix(string(out.Stdout), "\n")
}

// fails runs a shell line that must not succeed, and returns its errors.
func (g *guest) fails(line string) string {
	g.t.Helper()
	out, err := g.box.Exec(g.t.Context(), line, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if out.ExitCode == 0 {
		g.t.Errorf("%s: succeeded\n%s", line, out.Stdout)
	}
	return string(out.Stderr)
}

func TestMounts(t *testing.T) {
	work, code, single := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "settings.json")
	write(t, filepath.Join(work, "from host"), "hello")
	write(t, filepath.Join(code, "script.sh"), "echo run")
	write(t, single, "{}")
	g := boot(t, func(s voidbox.RunnableSandbox) voidbox.RunnableSandbox {
		return s.Mount("/workspace", work, "rw").Mount("/mnt/the code ü", code, "ro").Mount("/etc/app/settings.json", single, "rw")
	})

	t.Run("both ways", func(t *testing.T) {
		if got := g.sh("cat '/workspace/from host'"); got != "hello" {
			t.Errorf("the guest reads %q", got)
		}
		g.sh("mkdir -p /workspace/d && echo world > /workspace/d/f")
		if got := read(t, filepath.Join(work, "d", "f")); got != "world\n" {
			t.Errorf("the host reads %q", got)
		}
	})
	t.Run("owners", func(t *testing.T) {
		if got := g.sh("id -u; stat -c %u:%g /workspace/d/f '/workspace/from host'"); got != "1000\n1000:1000\n1000:1000" {
			t.Errorf("the guest sees %q", got)
		}
		if info, err := os.Stat(filepath.Join(work, "d", "f")); err != nil || info.Mode() != 0o644 || owner(info) != os.Getuid() {
			t.Errorf("on the host: %v, %v", info, err)
		}
	})
	t.Run("read only", func(t *testing.T) {
		if got := g.sh("sh '/mnt/the code ü/script.sh'"); got != "run" {
			t.Errorf("the script said %q", got)
		}
		if got := g.fails("touch '/mnt/the code ü/new'"); !strings.Contains(got, "Read-only") {
			t.Errorf("error %q", got)
		}
	})
	t.Run("a file", func(t *testing.T) {
		g.sh("echo '[]' > /etc/app/settings.json")
		if got := read(t, single); got != "[]\n" {
			t.Errorf("the host reads %q", got)
		}
	})
	t.Run("an edit of the host's within a second", func(t *testing.T) {
		g.sh("cat '/workspace/from host' > /dev/null")
		write(t, filepath.Join(work, "from host"), "changed")
		g.sh("i=0; until grep -q changed '/workspace/from host'; do i=$((i+1)); [ $i -lt 600 ] || exit 1; sleep 0.1; done")
	})
	t.Run("nothing else is mounted", func(t *testing.T) {
		if got := g.sh("grep -c virtiofs /proc/mounts"); got != "3" {
			t.Errorf("%s mounts", got)
		}
	})
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
