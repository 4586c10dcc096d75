package qemu

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// The oldest QEMU whose microvm has ACPI, a memory back end and vhost-user devices in non-legacy mode.
const oldestMajor, oldestMinor = 6, 2

// Reasons of errors, for programs.
const (
	ReasonMissing     = "qemu_missing"
	ReasonTooOld      = "qemu_too_old"
	ReasonAccelerator = "accelerator_unusable"
)

// Program returns the name of the emulator of this machine's own architecture.
func Program() string {
	if runtime.GOARCH == "arm64" {
		return "qemu-system-aarch64"
	}
	return "qemu-system-x86_64"
}

// Find returns the path of QEMU: path itself when it is set, else the one in the directories of PATH.
func Find(path string) (string, error) {
	name := path
	if name == "" {
		name = Program()
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", errdef.New(errdef.ErrUnavailable, "QEMU is not installed: %w", err).
			WithReason(ReasonMissing).WithRemedy("%s", installRemedy())
	}
	return found, nil
}

func installRemedy() string {
	switch {
	case runtime.GOOS == "darwin":
		return "brew install qemu"
	case runtime.GOARCH == "arm64":
		return "sudo apt-get install qemu-system-arm"
	}
	return "sudo apt-get install qemu-system-x86"
}

var versionPattern = regexp.MustCompile(`version (\d{1,4})\.(\d{1,4})(\.\d{1,4})?`)

// CheckVersion refuses a QEMU that is too old; version is what it says itself, such as 7.2.22.
func CheckVersion(version string) error {
	m := versionPattern.FindStringSubmatch("version " + version)
	if m == nil {
		return errdef.New(errdef.ErrUnavailable, "QEMU names no version but %.80q", version)
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	if major > oldestMajor || (major == oldestMajor && minor >= oldestMinor) {
		return nil
	}
	return errdef.New(errdef.ErrUnavailable, "QEMU %s is too old: its microvm lacks what we need, %d.%d or later is wanted", version, oldestMajor, oldestMinor).
		WithReason(ReasonTooOld).WithRemedy("%s", installRemedy())
}

// Version asks the program itself; a start is the surer way to learn it, since QEMU tells over QMP too. For diagnosis.
func Version(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = []string{}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	m := versionPattern.FindStringSubmatch(string(out))
	if m == nil {
		return "", errdef.New(errdef.ErrUnavailable, "%s is no QEMU: it says %.80q", path, out)
	}
	return m[1] + "." + m[2] + m[3], nil
}
