package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/event"
)

// secretSource is where a secret comes from: exactly one of these.
type secretSource struct {
	env, file, keyring string
	command            []string
}

// evalSecret reads the value of a secret from where it lies.
func (l *loader) evalSecret(b *hcl.Block) (cty.Value, hcl.Diagnostics) {
	d := l.decode(b, secretBlock)
	from := secretSource{env: d.str("env"), file: d.str("file"), keyring: d.str("keyring"), command: d.strs("command")}
	d.str("description")
	if !d.ok() {
		return cty.NilVal, d.diags
	}
	given := 0
	for _, name := range []string{"env", "file", "command", "keyring"} {
		if d.has(name) {
			given++
		}
	}
	if given != 1 || d.has("command") && (len(from.command) == 0 || from.command[0] == "") {
		return cty.NilVal, append(d.diags, at(b.DefRange, "Ambiguous secret", `A secret needs exactly one of "env", "file", "command" and "keyring".`))
	}
	addr := "secret." + b.Labels[0]
	unknown := cty.UnknownVal(cty.String).RefineNotNull().Mark(origin{addr})
	if l.opt.SecretsOptional && (from.command != nil || from.keyring != "") {
		return unknown, d.diags // who only looks at a file runs nothing of it
	}
	value, diag := l.readSecret(addr, from, b.DefRange)
	if diag != nil && !l.opt.SecretsOptional {
		return cty.NilVal, append(d.diags, diag)
	}
	if diag != nil {
		return unknown, d.diags
	}
	l.addSecret(addr, value)
	return cty.StringVal(value).Mark(origin{addr}), d.diags
}

func (l *loader) readSecret(addr string, from secretSource, r hcl.Range) (string, *hcl.Diagnostic) {
	missing := func(format string, args ...any) *hcl.Diagnostic {
		return at(r, "Secret not found", addr+" is read from "+format, args...)
	}
	switch {
	case from.env != "":
		value, ok := l.opt.LookupEnv(from.env)
		if !ok || value == "" {
			return "", missing("the environment variable %s, which is not set. Set it and run again.", from.env)
		}
		return value, nil
	case from.command != nil:
		value, err := l.opt.Command(l.ctx, l.path("."), from.command)
		if err != nil {
			return "", missing("the command %s, which %v.", from.command[0], err)
		}
		return value, nil
	case from.keyring != "":
		value, err := l.opt.Command(l.ctx, "/", keyringCommand(runtime.GOOS, from.keyring))
		if err != nil {
			return "", missing("the system's keyring under the service %q: %v. To put it there: %s", from.keyring, err, keyringHelp(runtime.GOOS, from.keyring))
		}
		return value, nil
	}
	src, err := readBounded(l.path(from.file), maxSecretBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", missing("the file %s, which does not exist.", from.file)
	case err != nil:
		return "", at(r, "Secret not found", "%s: %v.", addr, err)
	}
	value := strings.TrimRight(string(src), " \t\r\n")
	if value == "" {
		return "", missing("the file %s, which is empty.", from.file)
	}
	return value, nil
}

// commandTime is what a command may take. It may ask its user for something, by means of its own.
const commandTime = 2 * time.Minute

// commandSecret is what a command prints, without white space at the end. It runs without a shell. Its errors say what it said on
// standard error, never what it printed.
func commandSecret(ctx context.Context, dir string, command []string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTime, fmt.Errorf("did not end within %v", commandTime))
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second // for what it has started, and left with its output
	out, said := &capped{limit: maxSecretBytes}, &capped{limit: 1 << 10}
	cmd.Stdout, cmd.Stderr = out, said
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", errors.New("is not installed, or not in PATH")
	case err != nil:
		if text := event.Clean(strings.TrimSpace(said.String())); text != "" {
			return "", fmt.Errorf("failed (%v): %s", err, text)
		}
		return "", fmt.Errorf("failed (%v)", err)
	case out.over:
		return "", fmt.Errorf("printed more than %d bytes", maxSecretBytes)
	}
	value := strings.TrimRight(out.String(), " \t\r\n")
	if value == "" {
		return "", errors.New("printed nothing")
	}
	return value, nil
}

// capped keeps the beginning of what is written.
type capped struct {
	text  bytes.Buffer // not embedded: its ReadFrom knows no limit
	limit int
	over  bool
}

func (b *capped) Write(p []byte) (int, error) {
	room := b.limit - b.text.Len()
	b.over = b.over || len(p) > room
	b.text.Write(p[:min(len(p), room)])
	return len(p), nil
}

func (b *capped) String() string { return b.text.String() }

// keyringCommand asks the keyring of the desktop (Secret Service) or of macOS.
func keyringCommand(system, service string) []string {
	if system == "darwin" {
		return []string{"security", "find-generic-password", "-s", service, "-w"}
	}
	return []string{"secret-tool", "lookup", "service", service}
}

func keyringHelp(system, service string) string {
	if system == "darwin" {
		return fmt.Sprintf("security add-generic-password -s %s -a \"$USER\" -w", service)
	}
	return fmt.Sprintf("secret-tool store --label=%s service %s (Debian has it in libsecret-tools).", service, service)
}
