package keys_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testsshd"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// TestExample follows the first lines of the example, towards a server on this machine.
func TestExample(t *testing.T) {
	testvm.Require(t)
	sshd := testsshd.Start(t)
	key := testsshd.Key(t, "ed25519")
	sshd.Authorize(t, key)
	dir, url := repository(t, sshd)
	text, err := os.ReadFile(filepath.Join(testbin.Root(), "examples", "deploy-key", "push.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	const network = `network "slirp" {}`
	if !strings.Contains(string(text), network) {
		t.Fatal("the example has no network any more")
	}
	// Only the way to the host's loopback is added.
	own := fmt.Sprintf("network \"slirp\" {\nservice \"git\" {\naddress = \"%s:%d\"\ntcp = %q\n}\n}\nready_timeout = \"2m\"", serverHost, serverPort, sshd.Addr)
	file := filepath.Join(t.TempDir(), "push.hcl")
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), network, own, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(testbin.Dir(t), "voidbox"), "run", file,
		"--var", "backend=qemu", "--var", "image="+testvm.Disk(t), "--var", "key="+key, "--var", "repository="+url,
		"--var", fmt.Sprintf("host=%s:%d", serverHost, serverPort), "--var", fmt.Sprintf("known_hosts=[%q]", sshd.Known(serverHost, serverPort)))
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	head, err := exec.Command("git", "-C", dir, "rev-parse", "--short", "voidbox").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "pushed "+strings.TrimSpace(string(head))) {
		t.Errorf("arrived: %s, %v; said:\n%s", head, err, out)
	}
	want := fmt.Sprintf("signed login as %s at [%s]:%d with key site", sshd.User, serverHost, serverPort)
	if !strings.Contains(string(out), want) {
		t.Errorf("no %q in\n%s", want, out)
	}
}
