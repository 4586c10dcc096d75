package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/sdk/boot"
)

// peer is QEMU as one would start it by hand: the same machine, kernel and initramfs, and no device that they do not need.
type peer struct {
	dir  string
	args []string
}

func newPeer(s subject) (*peer, error) {
	dir, err := os.MkdirTemp("", "voidbox-bench-")
	if err != nil {
		return nil, err
	}
	p := &peer{dir: dir}
	initrd, err := p.initrd(s)
	if err != nil {
		p.close()
		return nil, err
	}
	accel, cpu := "tcg,thread=multi", "max"
	if kvmUsable() {
		accel, cpu = "kvm", "host"
	}
	p.args = []string{
		"-M", "microvm,acpi=on,memory-backend=mem", "-accel", accel, "-cpu", cpu, "-smp", "1", "-m", fmt.Sprintf("%dB", memory),
		"-object", fmt.Sprintf("memory-backend-memfd,id=mem,share=on,size=%d", memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", s.kernel.Path, "-initrd", initrd, "-append", commandLine(),
	}
	return p, nil
}

func (p *peer) close() { _ = os.RemoveAll(p.dir) }

// initrd writes what a sandbox has in memory into a file.
func (p *peer) initrd(s subject) (string, error) {
	config := boot.Config{Version: boot.Version, Token: bytes.Repeat([]byte{1}, 32)}
	encoded, err := config.Encode()
	if err != nil {
		return "", err
	}
	segment, err := image.BootSegment(encoded)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(s.initramfs)
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.dir, "initrd.img")
	return path, os.WriteFile(path, append(data, segment...), 0o600)
}

// measure returns the time until PID 1 has written its first line.
func (p *peer) measure(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", p.args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	took := time.Duration(0)
	var said strings.Builder
	for lines := bufio.NewScanner(out); took == 0 && lines.Scan(); {
		if stage, ok := boot.ConsoleStage(lines.Text()); ok && stage == boot.StageStart {
			took = time.Since(start)
		}
		said.WriteString(lines.Text() + "\n")
	}
	cancel()
	_ = cmd.Wait() // killed by us
	if took == 0 {
		return 0, errors.New("init was not reached; the console said:\n" + said.String())
	}
	return took, nil
}
