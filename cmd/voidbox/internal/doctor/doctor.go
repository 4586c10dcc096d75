// Package doctor looks at a machine and says what voidbox will find on it: can it run VMs, with what, which kernel will they
// boot, where is the cache, which plugins are there. Each finding that is not well carries the exact command that mends it.
//
// It changes nothing: a doctor who starts to treat before the patient agrees is no doctor.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/kvmhost"
)

// Status grades a finding.
type Status string

// Statuses. Only Fail means that VMs cannot run.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // command that mends it
}

// Plugin is what is known of an installed plugin.
type Plugin struct {
	Kind, Name, Version, Path string
	Err                       error
}

// Machine is what the doctor looks at; a test brings its own.
type Machine struct {
	KVM      func() error // nil when usable, else mostly a *kvmhost.Problem
	LookPath func(string) (string, error)
	QEMU     func(ctx context.Context, path string) (version string, err error)
	Kernel   func(ctx context.Context) (origin string, err error) // what a VM would boot, without fetching it
	Agent    func() (path string, err error)                      // the guest agent, which goes into every VM
	CacheDir string
	Writable func(dir string) error
	FreeDisk func(dir string) (uint64, error)
	Plugins  func(ctx context.Context) ([]Plugin, error)
}

// emulator is the QEMU binary that the qemu backend runs.
const emulator = "qemu-system-x86_64"

// wantDisk is what kernel, base image and a test disk need.
const wantDisk = 2 << 30

// Examine runs every check.
func Examine(ctx context.Context, m Machine) []Finding {
	kvm := m.kvm()
	qemu := m.qemu(ctx)
	if kvm.Status == OK && qemu.Status == Fail {
		qemu.Status = Warn // kvm does without
	}
	return append([]Finding{kvm, qemu, m.kernel(ctx), m.agent(), m.cache()}, m.plugins(ctx)...)
}

// Healthy tells whether VMs can run.
func Healthy(findings []Finding) bool {
	for _, f := range findings {
		if f.Status == Fail {
			return false
		}
	}
	return true
}

func (m Machine) kvm() Finding {
	f := Finding{Check: "kvm", Status: OK, Detail: "device, capabilities and hardware virtualization are there"}
	err := m.KVM()
	if err == nil {
		return f
	}
	f.Status, f.Detail = Warn, err.Error()+"; VMs will run under emulation, which is slower"
	var p *kvmhost.Problem
	if errors.As(err, &p) {
		f.Fix = p.Remedy
	}
	return f
}

func (m Machine) qemu(ctx context.Context) Finding {
	path, err := m.LookPath(emulator)
	if err != nil {
		return Finding{"qemu", Fail, emulator + " is not in PATH, so the qemu backend cannot run", "sudo apt-get install -y qemu-system-x86"}
	}
	version, err := m.QEMU(ctx, path)
	if err != nil {
		return Finding{"qemu", Fail, fmt.Sprintf("%s does not run: %v", path, err), "sudo apt-get install -y --reinstall qemu-system-x86"}
	}
	return Finding{Check: "qemu", Status: OK, Detail: path + ", version " + version}
}

func (m Machine) kernel(ctx context.Context) Finding {
	origin, err := m.Kernel(ctx)
	if err != nil {
		return Finding{"kernel", Warn, fmt.Sprintf("no guest kernel is cached yet (%v); the first run fetches Debian's cloud kernel", err), "make kernel"}
	}
	return Finding{Check: "kernel", Status: OK, Detail: origin}
}

func (m Machine) agent() Finding {
	path, err := m.Agent()
	if err != nil {
		return Finding{"guest agent", Fail, fmt.Sprintf("VMs cannot boot without it: %v", err), "make build"}
	}
	return Finding{Check: "guest agent", Status: OK, Detail: path}
}

func (m Machine) cache() Finding {
	if err := m.Writable(m.CacheDir); err != nil {
		return Finding{"cache", Fail, fmt.Sprintf("%s cannot be written: %v", m.CacheDir, err), "export VOIDBOX_CACHE_DIR=/some/writable/directory"}
	}
	free, err := m.FreeDisk(m.CacheDir)
	if err == nil && free < wantDisk {
		return Finding{"cache", Warn, fmt.Sprintf("%s has %d MiB free, %d MiB are advised", m.CacheDir, free>>20, wantDisk>>20), "export VOIDBOX_CACHE_DIR=/some/larger/directory"}
	}
	return Finding{Check: "cache", Status: OK, Detail: m.CacheDir}
}

func (m Machine) plugins(ctx context.Context) []Finding {
	plugins, err := m.Plugins(ctx)
	if err != nil {
		return []Finding{{"plugins", Fail, err.Error(), "make build"}}
	}
	var findings []Finding
	backends := 0
	for _, p := range plugins {
		name := "plugin " + p.Kind + " " + p.Name
		if p.Err != nil {
			findings = append(findings, Finding{name, Warn, fmt.Sprintf("%s: %v", p.Path, p.Err), "voidbox plugin list"})
			continue
		}
		if p.Kind == "vmm" {
			backends++
		}
		findings = append(findings, Finding{Check: name, Status: OK, Detail: p.Version + ", " + p.Path})
	}
	if backends == 0 {
		findings = append(findings, Finding{"plugins", Fail, "no VMM plugin is installed, so no VM can run; only backend = \"mock\" works", "make build"})
	}
	return findings
}

// QEMUVersion asks a QEMU binary for its version.
func QEMUVersion(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimPrefix(line, "QEMU emulator version "), nil
}

// FreeDisk returns the bytes that an ordinary user may still write at dir.
func FreeDisk(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
