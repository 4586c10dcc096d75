package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/test/lab/internal/guest"
)

// Setup is what the options of [Main] fill in.
type Setup struct {
	Config
	// Scratch is a directory for files that are made for the lab. It is removed when all tests have ended.
	Scratch string
}

// Option prepares a test binary's lab. It is called when the lab is booted, or when a test asks for a [Path].
type Option func(ctx context.Context, s *Setup) error

// Memory gives the lab that much memory.
func Memory(mebibytes int) Option {
	return func(_ context.Context, s *Setup) error { s.MemoryMiB = mebibytes; return nil }
}

// CPUs gives the lab so many processors.
func CPUs(n int) Option {
	return func(_ context.Context, s *Setup) error { s.CPUs = n; return nil }
}

// Files puts files that exist into the lab.
func Files(files ...File) Option {
	return func(_ context.Context, s *Setup) error { s.Files = append(s.Files, files...); return nil }
}

// Program builds a Go program of this module, static as the guest agent must be, and puts it into the lab as /lab/name.
func Program(pkg, name string) Option {
	return func(ctx context.Context, s *Setup) error {
		file, err := build(ctx, s.Scratch, pkg, name)
		s.Files = append(s.Files, File{Host: file, Guest: path.Join(guest.FilesDir, name)})
		return err
	}
}

// Where [GuestSystem] puts its files in the lab.
const (
	GuestKernel = guest.FilesDir + "/guest/vmlinux"
	GuestInitrd = guest.FilesDir + "/guest/initrd.img"
)

// GuestSystem puts what VMs boot into the lab: the kernel that voidbox would choose, at GuestKernel, and the base initramfs
// with the guest agent, built from this tree, at GuestInitrd.
func GuestSystem(ctx context.Context, s *Setup) error {
	cache, err := image.OpenCache("")
	if err != nil {
		return err
	}
	ctx = image.WithProgress(ctx, s.Log)
	kernel, err := cache.Kernel(ctx, image.KernelRequest{})
	if err != nil {
		return err
	}
	agent, err := build(ctx, s.Scratch, "github.com/voidbox-run/voidbox/guest/agent", image.AgentName)
	if err != nil {
		return err
	}
	initrd, err := cache.Initramfs(ctx, image.InitramfsSpec{Kernel: kernel, Agent: agent})
	if err != nil {
		return err
	}
	s.Files = append(s.Files, File{kernel.Path, GuestKernel}, File{initrd, GuestInitrd})
	return nil
}

func build(ctx context.Context, dir, pkg, name string) (string, error) {
	file := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-o", file, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return file, nil
}

// Path returns where a file of the lab's is for this test: the place itself in the lab, and the host's file where the test
// runs on hardware.
func Path(t testing.TB, guestPath string) string {
	t.Helper()
	if Inside() {
		return guestPath
	}
	setup, err := current.prepare(t.Context())
	if err != nil {
		t.Fatalf("prepare the files of the tests: %v", err)
	}
	for _, f := range setup.Files {
		if f.Guest == guestPath {
			return f.Host
		}
	}
	t.Fatalf("no option of lab.Main gives %s", guestPath)
	return ""
}
