package network_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testnet"
	"github.com/voidbox-run/voidbox/test/lab"
)

// Where the lab has the programs, and the variables by which a test that runs alone finds what was made ready before.
const (
	programs    = "/lab"
	examples    = "/lab/examples"
	programsEnv = "VOIDBOX_TEST_PROGRAMS"
	kernelEnv   = "VOIDBOX_TEST_KERNEL"
	initrdEnv   = "VOIDBOX_TEST_INITRD"
	diskEnv     = "VOIDBOX_TEST_DISK"
	examplesEnv = "VOIDBOX_TEST_EXAMPLES"
)

func TestMain(m *testing.M) {
	if testnet.Isolated() {
		os.Exit(m.Run())
	}
	options := []lab.Option{lab.GuestSystem, lab.Files(lab.File{Host: filepath.Join("..", "..", "examples"), Guest: examples})}
	for name, pkg := range map[string]string{
		"voidbox": "cmd/voidbox", "voidbox-guest-agent": "guest/agent", "voidbox-vmm-kvm": "plugins/vmm-kvm",
		"voidbox-vmm-qemu": "plugins/vmm-qemu", "voidbox-network-slirp": "plugins/net-slirp", "voidbox-network-tap": "plugins/net-tap", "voidbox-llm-replay": "plugins/llm-replay",
		"escape": "test/network/escape",
	} {
		options = append(options, lab.Program("github.com/voidbox-run/voidbox/"+pkg, name))
	}
	lab.Main(m, options...)
}

// programDir is the directory of the programs.
func programDir(t *testing.T) string {
	t.Helper()
	return filepath.Dir(lab.Path(t, programs+"/voidbox"))
}
