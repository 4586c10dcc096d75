package sandbox_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

func TestBrokenBootsAreTold(t *testing.T) {
	cases := []struct {
		name    string
		init    bool
		how     string
		silence time.Duration // where it is what the test is about
		reason  sandbox.Reason
		console string
	}{
		{"no init", false, "", 0, sandbox.ReasonNoInit, "Kernel panic - not syncing"},
		{"init ends", true, "exit", 0, sandbox.ReasonPanic, "test init: exit"},
		{"init powers off", true, "poweroff", 0, sandbox.ReasonPowerOff, "test init: poweroff"},
		{"init reboots", true, "reboot", 0, sandbox.ReasonReset, "test init: reboot"},
		{"agent never answers", true, "silent", 8 * time.Second, sandbox.ReasonSilent, "test init: silent"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg, plugin := config(t, sandbox.Spec{Initrd: testInitrd(t, c.init), CommandLine: "-- " + c.how, MemoryBytes: 192 << 20, ReadyTimeout: c.silence})
			failed := bootFails(t, cfg)
			if failed.Reason != c.reason || failed.Stage != sandbox.StageKernel {
				t.Errorf("reason %s in stage %s; want %s in stage kernel", failed.Reason, failed.Stage, c.reason)
			}
			if !strings.Contains(failed.Console, c.console) || !strings.Contains(failed.Error(), "  | ") {
				t.Errorf("console = %q, want %q in it", failed.Console, c.console)
			}
			nothingLeft(t, plugin.RuntimeDir())
		})
	}
}

func TestEndlessChatterMeetsTheBootLimit(t *testing.T) {
	cfg, _ := config(t, sandbox.Spec{Initrd: testInitrd(t, true), CommandLine: "-- chatter", MemoryBytes: 192 << 20, BootLimit: 8 * time.Second})
	failed := bootFails(t, cfg)
	if failed.Reason != sandbox.ReasonTooSlow || !strings.Contains(failed.Console, "still booting, honestly") {
		t.Errorf("reason %s, console %q", failed.Reason, failed.Console)
	}
	if n := strings.Count(failed.Console, "\n") + 1; n > sandbox.ConsoleLines {
		t.Errorf("%d console lines are shown, at most %d were promised", n, sandbox.ConsoleLines)
	}
}

// otherToken is a monitor that boots its guests with another token than it was told.
type otherToken struct{ vmm.VMM }

func (o otherToken) Create(ctx context.Context, m vmm.Machine) (vmm.Created, error) {
	for i, s := range m.Initrd {
		const key = `"token":"`
		if at := bytes.Index(s.Content, []byte(key)); at >= 0 {
			content := bytes.Clone(s.Content)
			base64.StdEncoding.Encode(content[at+len(key):], bytes.Repeat([]byte{7}, 32))
			m.Initrd[i].Content = content
		}
	}
	return o.VMM.Create(ctx, m)
}

func TestWrongSecretIsTold(t *testing.T) {
	cfg, plugin := config(t, sandbox.Spec{})
	cfg.VMM = otherToken{cfg.VMM}
	failed := bootFails(t, cfg)
	if failed.Reason != sandbox.ReasonSecret || failed.Stage != sandbox.StageAnswer {
		t.Errorf("reason %s in stage %s", failed.Reason, failed.Stage)
	}
	nothingLeft(t, plugin.RuntimeDir())
}

func TestCanceledBootLeavesNothing(t *testing.T) {
	cfg, plugin := config(t, sandbox.Spec{})
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Progress = func(s sandbox.Stage) {
		if s == sandbox.StageKernel {
			cancel()
		}
	}
	_, err := sandbox.NewVM(ctx, cfg)
	var failed *sandbox.BootError
	if !errors.As(err, &failed) || failed.Reason != sandbox.ReasonCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	nothingLeft(t, plugin.RuntimeDir())
}

func TestBadFilesAreRefusedBeforeAnythingRuns(t *testing.T) {
	cfg, plugin := config(t, sandbox.Spec{})
	kernel, err := os.ReadFile(mustKernel(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	truncated := filepath.Join(dir, "vmlinuz")
	if err := os.WriteFile(truncated, kernel[:len(kernel)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no disk ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spec sandbox.Spec
		says string
	}{
		"kernel missing":   {sandbox.Spec{Kernel: "/nonexistent/vmlinuz"}, "/nonexistent/vmlinuz"},
		"kernel truncated": {sandbox.Spec{Kernel: truncated}, "truncated"},
		"kernel is text":   {sandbox.Spec{Kernel: text}, text},
		"image missing":    {sandbox.Spec{Image: "/nonexistent.raw"}, "/nonexistent.raw"},
		"image is text":    {sandbox.Spec{Image: text}, "neither \"base\" nor a raw disk"},
		"unknown user":     {sandbox.Spec{User: "alice"}, "alice"},
		"memory too small": {sandbox.Spec{MemoryBytes: 1 << 20}, "too small"},
		"memory too large": {sandbox.Spec{MemoryBytes: 1 << 50}, "does not fit"},
		"cpus":             {sandbox.Spec{CPUs: 1000}, "cpus = 1000"},
		"no hardware":      {sandbox.Spec{Accelerator: "hvf"}, "hvf"},
		"environment":      {sandbox.Spec{Env: map[string]string{"BIG": strings.Repeat("x", 2<<20)}}, "shorten"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := cfg
			cfg.Spec = c.spec
			_, err := sandbox.NewVM(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error = %v, want %q in it", err, c.says)
			}
			t.Logf("the user sees: %v; remedy: %s", err, errdef.Remedy(err))
			nothingLeft(t, plugin.RuntimeDir())
		})
	}
}

// nothingLeft wants no socket of a VM in dir.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "vsock*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// garbageOnTheSockets must harm nobody but its sender.
func garbageOnTheSockets(t *testing.T, s *sandbox.Sandbox) {
	for _, garbage := range []string{
		"", "\n", "CONNECT\n", "CONNECT -1\n", "CONNECT 99999999999\n", "GET / HTTP/1.1\r\n\r\n",
		strings.Repeat("x", 1<<16), "CONNECT 1234", "CONNECT 4321\n",
	} {
		conn, err := net.Dial("unix", s.SocketPath())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(garbage)) // the device may hang up in the middle
		_ = conn.Close()
	}
	for _, frames := range []string{
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 1<<12), // a preface, then frames of garbage
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x01\x04\x00\x00\x00\x01",
		strings.Repeat("\x00", 1<<16),
	} {
		conn, err := sandbox.DialGuest(t.Context(), s.SocketPath(), 1234)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(frames))
		_ = conn.Close()
	}
	if _, err := sandbox.DialGuest(t.Context(), s.SocketPath(), 4321); !errors.Is(err, errdef.ErrUnavailable) {
		t.Errorf("a port where nobody listens: %v", err)
	}
	if _, err := s.Info(t.Context()); err != nil {
		t.Errorf("the agent no longer answers: %v", err)
	}
}
