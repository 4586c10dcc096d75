package agentimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Documentation and translations are left out, but not the licences.
var (
	excluded = []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*", "/usr/share/bug/*"}
	included = []string{"/usr/share/doc/*/copyright"}
)

// customize runs in the finished tree, whose path is $1: what names this machine, or is only there for the package manager's speed.
const customize = `set -e
rm -rf "$1"/var/cache/* "$1"/var/log/* "$1"/var/lib/apt/lists/*
rm -f "$1/etc/resolv.conf" "$1/etc/hostname" "$1/etc/machine-id"`

// bootstrap makes a Debian of packages, as an archive. It needs no root, but then the kernel's leave to make user namespaces.
func bootstrap(ctx context.Context, r Recipe, archive string) error {
	program, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return errdef.New(errdef.ErrUnavailable, "mmdebstrap, which makes the Debian in the image, is not installed").
			WithRemedy("sudo apt-get install mmdebstrap uidmap")
	}
	args := []string{"--quiet", "--variant=minbase", "--include=" + strings.Join(r.Debian, ","), "--customize-hook=" + customize,
		`--aptopt=Acquire::Languages "none"`, `--aptopt=Acquire::Retries "2"`}
	for _, pattern := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+pattern)
	}
	for _, pattern := range included {
		args = append(args, "--dpkgopt=path-include="+pattern)
	}
	cmd := exec.CommandContext(ctx, program, append(args, r.Suite, archive)...)
	// Its own tools may be where the search path of plain users does not lead. A tree that is the same every time has no times in it.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SOURCE_DATE_EPOCH=0", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	// A terminated mmdebstrap takes its mounts and its tree with it; a killed one does not.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		return nil
	case strings.Contains(said.String(), "No space left on device"):
		return fmt.Errorf("mmdebstrap: %w", syscall.ENOSPC)
	}
	return errdef.New(errdef.ErrUnavailable, "mmdebstrap: %w", errors.New(reason(said.String(), err))).
		WithRemedy("does this machine reach Debian's archive (http_proxy, where one is needed)? Are these packages of %s: %s?", r.Suite, strings.Join(r.Debian, ", "))
}

// reason is what mmdebstrap, or the apt in it, says is wrong.
func reason(said string, err error) string {
	last := err.Error()
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		for _, mark := range []string{"E: ", "Err:", "W: Failed"} {
			if strings.HasPrefix(line, mark) && !strings.Contains(line, "apt-get") {
				return line
			}
		}
		if line != "" {
			last = line
		}
	}
	return last
}
