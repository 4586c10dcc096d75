package sshagent

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testsshd"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func TestKeysThatCanBeUsed(t *testing.T) {
	pem := testsshd.Key(t, "rsa", "-b", "2048")
	if out, err := exec.Command("ssh-keygen", "-q", "-p", "-m", "PEM", "-N", "", "-f", pem).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, key := range map[string]string{
		"ed25519": testsshd.Key(t, "ed25519"), "ecdsa": testsshd.Key(t, "ecdsa", "-b", "384"), "rsa": testsshd.Key(t, "rsa", "-b", "2048"), "pem": pem,
	} {
		if _, err := ReadKey(key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	encrypted := filepath.Join(dir, "encrypted")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "passphrase", "-f", encrypted).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	open := testsshd.Key(t, "ed25519")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	public := testsshd.Key(t, "ed25519") + ".pub"
	if err := os.Chmod(public, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want, remedy string }{
		"missing":   {filepath.Join(dir, "none"), "there is no key", "ssh-keygen -t ed25519"},
		"directory": {dir, "is not a file", "name the file"},
		"encrypted": {encrypted, "is encrypted", "ssh_agent = true"},
		"open":      {open, "mode 0644", "chmod 600 " + open},
		"public":    {public, "is a public key", "without .pub"},
		"text":      {write("text", "hello\n", 0o600), "not a private key", "ssh-keygen"},
		"empty":     {write("empty", "", 0o600), "not a private key", "ssh-keygen"},
		"huge":      {write("huge", strings.Repeat("a", maxKeyFile+1), 0o600), "no private key has", ""},
		"weak":      {testsshd.Key(t, "rsa", "-b", "1024"), "not supported", "ssh-keygen"},
	} {
		_, err := ReadKey(c.path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(errdef.Remedy(err), c.remedy) {
			t.Errorf("%s: %v; %s", name, err, errdef.Remedy(err))
		}
	}
}
