package kvmhost

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	accept := func(*os.File) error { return nil }
	refuse := func(*os.File) error { return errors.New("capability KVM_CAP_IRQFD is missing") }
	cases := []struct {
		name   string
		device bool
		flags  string
		probe  func(*os.File) error
		want   string // in the reason; empty means usable
		remedy string
	}{
		{"no device", false, "fpu svm", accept, "does not exist", "modprobe"},
		{"capability missing", true, "fpu svm", refuse, "KVM_CAP_IRQFD", "kernel"},
		{"no hardware virtualization", true, "fpu msr hypervisor", accept, "neither vmx nor svm", "emulation"},
		{"flag that only contains the word", true, "vmxish nosvm", accept, "neither vmx nor svm", "emulation"},
		{"intel", true, "fpu vmx msr", accept, "", ""},
		{"amd", true, "fpu svm msr", accept, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			h := Host{Device: filepath.Join(dir, "kvm"), CPUInfo: filepath.Join(dir, "cpuinfo"), probe: c.probe}
			write(t, h.CPUInfo, "processor\t: 0\nflags\t\t: "+c.flags+"\n")
			if c.device {
				write(t, h.Device, "")
			}
			err := h.Check()
			if c.want == "" {
				if err != nil {
					t.Fatalf("Check() = %v, want usable", err)
				}
				return
			}
			var p *Problem
			if !errors.As(err, &p) {
				t.Fatalf("Check() = %v, want a Problem", err)
			}
			if !strings.Contains(p.Reason, c.want) || !strings.Contains(p.Remedy, c.remedy) {
				t.Errorf("reason %q, remedy %q; want %q and %q in them", p.Reason, p.Remedy, c.want, c.remedy)
			}
		})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
