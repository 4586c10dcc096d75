package network_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testnet"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/test/lab"
)

// Where the lab has the programs, and the variables by which a test that runs alone finds what was made ready before.
const (
	programs      = "/lab"
	examples      = "/lab/examples"
	labDisk       = "/dev/vda"
	labRepository = "/lab/git/repo.git"
	programsEnv   = "VOIDBOX_TEST_PROGRAMS"
	kernelEnv     = "VOIDBOX_TEST_KERNEL"
	initrdEnv     = "VOIDBOX_TEST_INITRD"
	diskEnv       = "VOIDBOX_TEST_DISK"
	examplesEnv   = "VOIDBOX_TEST_EXAMPLES"
	thoroughEnv   = "VOIDBOX_TEST_THOROUGH"
)

func TestMain(m *testing.M) {
	if testnet.Isolated() {
		os.Exit(m.Run())
	}
	options := []lab.Option{lab.Memory(3072), lab.GuestSystem, lab.Cache, lab.Files(lab.File{Host: filepath.Join("..", "..", "examples"), Guest: examples})}
	for name, pkg := range map[string]string{
		"voidbox": "cmd/voidbox", "voidbox-guest-agent": "guest/agent", "voidbox-vmm-kvm": "plugins/vmm-kvm",
		"voidbox-vmm-qemu": "plugins/vmm-qemu", "voidbox-network-slirp": "plugins/net-slirp", "voidbox-network-tap": "plugins/net-tap", "voidbox-llm-replay": "plugins/llm-replay",
		"escape": "test/network/escape",
	} {
		options = append(options, lab.Program("github.com/voidbox-run/voidbox/"+pkg, name))
	}
	lab.Main(m, append(options, debianDrive, gitRepository)...)
}

// debianDrive gives guests of the lab the Debian that they have elsewhere, as the lab's own first drive.
func debianDrive(ctx context.Context, s *lab.Setup) error {
	cache, err := image.OpenCache("")
	if err != nil {
		return err
	}
	disk, err := testvm.DiskIn(image.WithProgress(ctx, s.Log), cache, s.Log)
	s.Drives = append(s.Drives, lab.Drive{Path: disk})
	return err
}

// gitRepository gives the lab, which has no Git, a repository to serve.
func gitRepository(_ context.Context, s *lab.Setup) error {
	bare := filepath.Join(s.Scratch, "repo.git")
	s.Files = append(s.Files, lab.File{Host: bare, Guest: labRepository})
	return makeRepository(bare, s.Scratch, 2)
}

// programDir is the directory of the programs.
func programDir(t *testing.T) string {
	t.Helper()
	return filepath.Dir(lab.Path(t, programs+"/voidbox"))
}
