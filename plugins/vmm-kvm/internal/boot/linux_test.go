package boot_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/test/lab"
)

// Files in the lab.
const (
	labInit = "/lab/boot-init"
	labDir  = "/lab/kernels/"
)

const mib = 1 << 20

func TestMain(m *testing.M) {
	const pkg = "github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/boot/testdata/init"
	lab.Main(m, lab.Memory(3072), lab.Program(pkg, "boot-init"), kernels)
}

// kernels puts the kernel that voidbox chooses into the lab, and Debian's, each in both formats.
func kernels(ctx context.Context, s *lab.Setup) error {
	cache, err := image.OpenCache("")
	if err != nil {
		return err
	}
	small, err := cache.Kernel(ctx, image.KernelRequest{})
	if err != nil {
		return err
	}
	debian, err := cache.DebianKernel(ctx)
	if err != nil {
		return err
	}
	packed := "bzImage"
	if small.Origin != image.OriginOwn {
		packed = "vmlinuz"
	}
	s.Files = append(s.Files,
		lab.File{Host: small.Path, Guest: labDir + "vmlinux"},
		lab.File{Host: filepath.Join(filepath.Dir(small.Path), packed), Guest: labDir + "bzImage"},
		lab.File{Host: debian.Path, Guest: labDir + "debian-vmlinux"},
		lab.File{Host: filepath.Join(filepath.Dir(debian.Path), "vmlinuz"), Guest: labDir + "debian-bzImage"},
	)
	return nil
}

func initPath(t *testing.T) string { return lab.Path(t, labInit) }

// withoutPVH returns a copy of the kernel whose PVH note is another one.
func withoutPVH(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header := []byte{4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0, 'X', 'e', 'n', 0}
	at := bytes.Index(b, header)
	if at < 0 {
		t.Fatal("there is no PVH note")
	}
	b[at+8]++
	copied := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

// Every protocol, and every way for Linux to end.
func TestLinuxBoots(t *testing.T) {
	lab.RequireKVM(t)
	small, packed := lab.Path(t, labDir+"vmlinux"), lab.Path(t, labDir+"bzImage")
	for name, c := range map[string]struct {
		config
		events []string
	}{
		"PVH, power off":  {config{small, 1, 128 * mib, "act=off"}, []string{"power off"}},
		"bzImage, reboot": {config{packed, 1, 128 * mib, "act=reboot"}, []string{"reset"}},
		"64-bit ELF, reboot by keyboard controller": {
			config{withoutPVH(t, small), 1, 128 * mib, "reboot=k act=reboot"}, []string{"reset"}},
		"panic":                         {config{small, 1, 128 * mib, "act=panic"}, []string{"panic", "reset"}},
		"panic, keyboard controller":    {config{small, 1, 128 * mib, "reboot=k act=panic"}, []string{"panic", "reset"}},
		"two CPUs":                      {config{small, 2, 128 * mib, "act=off"}, []string{"power off"}},
		"four CPUs, bzImage":            {config{packed, 4, 256 * mib, "act=off"}, []string{"power off"}},
		"memory on both sides":          {config{small, 1, 5120 * mib, "act=off"}, []string{"power off"}},
		"memory on both sides, bzImage": {config{packed, 1, 5120 * mib, "act=off"}, []string{"power off"}},
		"little memory":                 {config{small, 1, 64 * mib, "act=off"}, []string{"power off"}},
	} {
		t.Run(name, func(t *testing.T) { bootLinux(t, c.config, c.events) })
	}
}

func TestDebianBoots(t *testing.T) {
	lab.RequireKVM(t)
	for _, kernel := range []string{"debian-vmlinux", "debian-bzImage"} {
		t.Run(kernel, func(t *testing.T) {
			bootLinux(t, config{lab.Path(t, labDir+kernel), 1, 128 * mib, "act=off"}, []string{"power off"})
		})
	}
}

func bootLinux(t *testing.T, c config, events []string) {
	m := newMachine(t, c)
	start := time.Now()
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	m.expect("init: cpus=")
	booted := time.Since(start)
	happened := m.await()
	t.Logf("init after %v, end after %v", booted.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	if !slices.Equal(happened, events) {
		t.Errorf("events %v, want %v", happened, events)
	}
	said := m.console.String()
	var cpus int
	var kib uint64
	if _, found := fmt.Sscanf(said[strings.Index(said, "init: cpus="):], "init: cpus=%d kib=%d", &cpus, &kib); found != nil || cpus != c.cpus {
		t.Errorf("the guest has %d CPUs of %d (%v)", cpus, c.cpus, found)
	}
	if kib<<10 < c.memory/2 || kib<<10 > c.memory { // the kernel itself is not counted
		t.Errorf("the guest has %d MiB of %d", kib>>10, c.memory>>20)
	}
	for _, want := range []string{"segment=found", "ttyS0", "ACPI:Ged"} {
		if !strings.Contains(said, want) {
			t.Errorf("the guest does not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("console:\n%s", said)
	}
}

func TestPowerButton(t *testing.T) {
	lab.RequireKVM(t)
	m := newMachine(t, config{lab.Path(t, labDir+"vmlinux"), 1, 128 * mib, "act=button"})
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	m.expect("init: waiting for the button")
	if err := m.power.PressButton(); err != nil {
		t.Fatal(err)
	}
	m.expect("init: the button was pressed")
	if happened := m.await(); !slices.Equal(happened, []string{"power off"}) {
		t.Errorf("events %v", happened)
	}
}

// A guest that floods its console is stopped like any other.
func TestFloodedConsole(t *testing.T) {
	lab.RequireKVM(t)
	m := newMachine(t, config{lab.Path(t, labDir+"vmlinux"), 1, 128 * mib, "act=flood"})
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		m.expect(strings.Repeat("x", 1023) + "\r\n")
		m.console.forget()
	}
	m.vcpus.Stop()
	if happened := m.await(); len(happened) > 0 {
		t.Errorf("events %v", happened)
	}
}
