package share

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox"
	"github.com/voidbox-run/voidbox/internal/testbin"
)

// plugins returns the share plugins of this test.
func plugins(t *testing.T) []int {
	t.Helper()
	var found []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		status, _ := os.ReadFile("/proc/" + e.Name() + "/status")
		if strings.Contains(string(line), testbin.Dir(t)) && strings.Contains(string(line), "voidbox-share-virtiofs") ||
			strings.Contains(string(status), "PPid:\t"+strconv.Itoa(os.Getpid())+"\n") && strings.Contains(string(status), "Name:\tvoidbox-share") {
			found = append(found, pid)
		}
	}
	return found
}

func TestKilledPluginIsAnError(t *testing.T) {
	work := t.TempDir()
	g := boot(t, func(s voidbox.RunnableSandbox) voidbox.RunnableSandbox { return s.Mount("/workspace", work, "rw") })
	g.sh("echo x > /workspace/file")
	pids := plugins(t)
	if len(pids) != 1 {
		t.Fatalf("share plugins %v", pids)
	}
	if err := unix.Kill(pids[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := g.fails("until ! touch /workspace/new; do sleep 0.1; done 2>&1; touch /workspace/new"); !strings.Contains(got, "Input/output error") {
		t.Errorf("error %q", got)
	}
	if got := g.sh("echo alive"); got != "alive" {
		t.Errorf("the guest said %q", got)
	}
}

func TestHostDirectoryVanishes(t *testing.T) {
	work := t.TempDir()
	g := boot(t, func(s voidbox.RunnableSandbox) voidbox.RunnableSandbox { return s.Mount("/workspace", work, "rw") })
	g.sh("echo x > /workspace/file")
	if err := os.RemoveAll(work); err != nil {
		t.Fatal(err)
	}
	if got := g.fails("sleep 2; echo y > /workspace/other"); got == "" {
		t.Error("no error")
	}
	g.fails("cat /workspace/file")
	if got := g.sh("echo alive"); got != "alive" {
		t.Errorf("the guest said %q", got)
	}
}
