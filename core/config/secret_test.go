package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
)

// A secret is what a command prints, which runs where the file is, and only for who runs the file.
func TestSecretOfACommand(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "main.hcl", `secret "k" { command = ["sh", "-c", "touch ran; printf 'from-a-%s\\n\\n' command; pwd >&2"] }`)
	opt := options()
	opt.Command, opt.SecretsOptional = nil, true
	if _, _, diags := Load(t.Context(), dir, opt); diags.HasErrors() {
		t.Fatal(diags)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Fatal("looking at the file has run its command")
	}
	opt.SecretsOptional = false
	p, _, diags := Load(t.Context(), dir, opt)
	if diags.HasErrors() || len(p.Secrets) != 1 || p.Secrets[0] != (plan.Secret{Name: "secret.k", Value: "from-a-command"}) {
		t.Errorf("%v", diags)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err != nil {
		t.Error("it ran elsewhere")
	}
}

func TestCommandsThatTellNoSecret(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH"))
	for source, want := range map[string]string{
		`command = ["/nowhere/pass", "show"]`:                            "the command /nowhere/pass, which is not installed",
		`command = ["no-such-program"]`:                                  "not in PATH",
		`command = ["sh", "-c", "echo s3cret; echo locked >&2; exit 2"]`: "failed (exit status 2): locked",
		`command = ["true"]`:                                             "which printed nothing",
		`command = ["head", "-c", "2000000", "/dev/zero"]`:               "printed more than",
		`command = []`:          "exactly one of",
		`keyring = "anthropic"`: "keyring under the service \"anthropic\": is not installed",
	} {
		if strings.HasPrefix(source, "keyring") {
			t.Setenv("PATH", t.TempDir())
		}
		opt := options()
		opt.Command = nil
		_, diags := loadText(t, "secret \"k\" {\n"+source+"\n}\n", opt)
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", source, err)
		}
		if strings.HasPrefix(source, "keyring") && !strings.Contains(diags.Err().Error(), "secret-tool store --label=anthropic service anthropic") {
			t.Errorf("no remedy: %v", diags.Err())
		}
		t.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
}

// The keyring is asked by the program that the desktop has for it.
func TestSecretOfTheKeyring(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\n[ \"$*\" = 'lookup service anthropic' ] && echo from-the-keyring\n"
	if err := os.WriteFile(filepath.Join(dir, "secret-tool"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	opt := options()
	opt.Command = nil
	p, diags := loadText(t, `secret "k" { keyring = "anthropic" }`, opt)
	if diags.HasErrors() || len(p.Secrets) != 1 || p.Secrets[0].Value != "from-the-keyring" {
		t.Errorf("%v", diags)
	}
}
