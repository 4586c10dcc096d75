package doctor

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/kvmhost"
)

// sound is a machine on which everything is well.
func sound() Machine {
	return Machine{
		KVM:      func() error { return nil },
		LookPath: func(name string) (string, error) { return "/usr/bin/" + name, nil },
		QEMU:     func(context.Context, string) (string, error) { return "7.2.0", nil },
		Kernel:   func(context.Context) (string, error) { return "voidbox kernel 6.1", nil },
		Agent:    func() (string, error) { return "/bin/voidbox-guest-agent", nil },
		CacheDir: "/cache",
		Writable: func(string) error { return nil },
		FreeDisk: func(string) (uint64, error) { return 1 << 40, nil },
		Plugins: func(context.Context) ([]Plugin, error) {
			return []Plugin{{Kind: "vmm", Name: "qemu", Version: "1.0.0", Path: "/bin/voidbox-vmm-qemu"}}, nil
		},
	}
}

func TestExamine(t *testing.T) {
	noKVM := func(reason, remedy string) func() error {
		return func() error { return &kvmhost.Problem{Reason: reason, Remedy: remedy} }
	}
	noQEMU := func(string) (string, error) { return "", errors.New("not found") }
	cases := []struct {
		name    string
		change  func(*Machine)
		check   string
		status  Status
		detail  string
		fix     string
		healthy bool
	}{
		{"sound", func(*Machine) {}, "kvm", OK, "hardware", "", true},
		{"no device", func(m *Machine) { m.KVM = noKVM("/dev/kvm does not exist", "modprobe kvm_intel") }, "kvm", Warn, "emulation", "modprobe", true},
		{"no permission", func(m *Machine) { m.KVM = noKVM("may not be opened", "sudo usermod -aG kvm $USER") }, "kvm", Warn, "may not be opened", "usermod", true},
		{"no agent", func(m *Machine) { m.Agent = func() (string, error) { return "", errors.New("no such file") } }, "guest agent", Fail, "no such file", "make build", false},
		{"no qemu, but kvm", func(m *Machine) { m.LookPath = noQEMU }, "qemu", Warn, "not in PATH", "apt-get install", true},
		{"no qemu, no kvm", func(m *Machine) { m.LookPath, m.KVM = noQEMU, noKVM("none", "x") }, "qemu", Fail, "not in PATH", "apt-get install", false},
		{"cache read-only", func(m *Machine) { m.Writable = func(string) error { return errors.New("read-only file system") } }, "cache", Fail, "read-only", "VOIDBOX_CACHE_DIR", false},
		{"cache nearly full", func(m *Machine) { m.FreeDisk = func(string) (uint64, error) { return 1 << 20, nil } }, "cache", Warn, "1 MiB free", "VOIDBOX_CACHE_DIR", true},
		{"no kernel yet", func(m *Machine) { m.Kernel = func(context.Context) (string, error) { return "", errors.New("empty") } }, "kernel", Warn, "fetches", "make kernel", true},
		{"no vmm plugin", func(m *Machine) { m.Plugins = func(context.Context) ([]Plugin, error) { return nil, nil } }, "plugins", Fail, "no VMM plugin", "make build", false},
		{"broken plugin", func(m *Machine) {
			m.Plugins = func(context.Context) ([]Plugin, error) {
				return []Plugin{{Kind: "vmm", Name: "qemu"}, {Kind: "llm", Name: "x", Err: errors.New("exec format error")}}, nil
			}
		}, "plugin llm x", Warn, "exec format error", "plugin list", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := sound()
			c.change(&m)
			findings := Examine(t.Context(), m)
			if got := Healthy(findings); got != c.healthy {
				t.Errorf("Healthy = %v, want %v", got, c.healthy)
			}
			for _, f := range findings {
				if f.Check != c.check {
					continue
				}
				if f.Status != c.status || !strings.Contains(f.Detail, c.detail) || !strings.Contains(f.Fix, c.fix) {
					t.Errorf("finding %+v; want status %s, detail with %q, fix with %q", f, c.status, c.detail, c.fix)
				}
				if f.Status != OK && f.Fix == "" {
					t.Errorf("%s is not well and has no command that mends it", f.Check)
				}
				return
			}
			t.Errorf("no finding for %s", c.check)
		})
	}
}
