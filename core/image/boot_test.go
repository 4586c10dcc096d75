package image_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// Every kernel that can be had here boots with what this package builds, and its init finds all of it.
func TestKernelsBoot(t *testing.T) {
	means := testvm.Require(t)
	agent := testvm.Build(t, "./testdata/init", "init")
	kernels := map[string]image.Kernel{means.Kernel.Origin: means.Kernel}
	debian, err := means.Cache.DebianKernel(t.Context())
	if err != nil && os.Getenv(testvm.RequireEnv) == "1" {
		t.Fatal(err)
	}
	if err != nil {
		t.Logf("without Debian's kernel: %v", err)
	} else {
		kernels["debian, unpacked"] = debian
		debian.Path = filepath.Join(filepath.Dir(debian.Path), "vmlinuz")
		kernels["debian, bzImage"] = debian
	}
	for name, kernel := range kernels {
		for contents, label := range map[image.Contents]string{image.Base: "base", image.Minimal: "minimal"} {
			t.Run(name+", "+label, func(t *testing.T) {
				base, err := means.Cache.Initramfs(t.Context(), image.InitramfsSpec{Kernel: kernel, Agent: agent, Contents: contents})
				if err != nil {
					t.Fatal(err)
				}
				assertBoot(t, boot(t, means.QEMU, kernel.Path, base), kernel, contents)
			})
		}
	}
}

func assertBoot(t *testing.T, console string, kernel image.Kernel, contents image.Contents) {
	t.Helper()
	want := []string{"release " + kernel.Release + "\n", `config {"nonce":42} -r--------` + "\n", "transport true\n", "done\n"}
	if contents == image.Base {
		want = append(want, "bash GNU bash, version 5", "busybox BusyBox v1.", "workspace 1000:1000 drwxr-xr-x\n")
	}
	console = strings.ReplaceAll(console, "\r", "")
	for _, want := range want {
		if !strings.Contains(console, want) {
			t.Errorf("the guest did not say %q", want)
		}
	}
	if failed := regexp.MustCompile("(?m)^module .* failed.*").FindString(console); failed != "" {
		t.Error(failed)
	}
	if kernel.ModulesDir != "" && !strings.Contains(console, "module /lib/modules/"+kernel.Release) {
		t.Error("the guest loaded no module")
	}
	if t.Failed() {
		t.Logf("console:\n%s", console)
	}
}

// boot runs a VM until it switches itself off and returns what it printed. The deadline is a safety net.
func boot(t *testing.T, qemu, kernel, base string) string {
	t.Helper()
	segment, err := image.BootSegment([]byte(`{"nonce":42}`))
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(path, append(initrd, segment...), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, "-M", "microvm,acpi=on,rtc=on", "-accel", "tcg", "-cpu", "max", "-m", "256",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-global", "virtio-mmio.force-legacy=false", "-device", "virtio-rng-device",
		"-kernel", kernel, "-initrd", path,
		"-append", fmt.Sprintf("console=ttyS0 quiet panic=-1 no_timer_check tsc=reliable tsc_early_khz=%d", tscKHz(t)))
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Run(); err != nil {
		t.Fatalf("qemu: %v\n%s", err, console.String())
	}
	return console.String()
}

// tscKHz saves the guest the calibration of its clock, which fails now and then under emulation.
func tscKHz(t *testing.T) int {
	t.Helper()
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	var mhz float64
	if m := regexp.MustCompile(`cpu MHz\s*:\s*([0-9.]+)`).FindSubmatch(info); m != nil {
		fmt.Sscan(string(m[1]), &mhz)
	}
	if mhz == 0 {
		t.Fatal("/proc/cpuinfo does not say how fast the processor is")
	}
	return int(mhz * 1000)
}
