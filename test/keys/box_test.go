package keys_test

import (
	"bytes"
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

// Where the guest finds the server.
const (
	serverHost = "10.0.2.2"
	serverPort = 2222
)

// box is a named sandbox, as the command line has it.
type box struct {
	t     *testing.T
	name  string
	state string
	env   []string
}

const description = `sandbox "box" {
  backend       = "qemu"
  image         = %q
  main          = ["sleep", "infinity"]
  ready_timeout = "2m"
  known_hosts   = [%q]

  network "slirp" {
    service "git" {
      address = "%s:%d"
      tcp     = %q
    }
  }
  %s
}
`

// create makes a sandbox of the test disk. The lines complete its block.
func create(t *testing.T, sshd *testsshd.Server, lines string, env ...string) *box {
	t.Helper()
	testvm.Require(t)
	tmp, err := os.MkdirTemp("", "vb") // short, since sockets live below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	b := &box{t: t, name: "keys", state: t.TempDir()}
	b.env = append(os.Environ(), "TMPDIR="+tmp, "XDG_RUNTIME_DIR="+tmp, "XDG_STATE_HOME="+b.state)
	b.env = append(b.env, env...)
	file := filepath.Join(b.state, "box.hcl")
	text := fmt.Sprintf(description, testvm.Disk(t), sshd.Known(serverHost, serverPort), serverHost, serverPort, sshd.Addr, lines)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.voidbox("sandbox", "remove", "--force", b.name) })
	b.voidbox("sandbox", "create", b.name, "--file", file)
	return b
}

func (b *box) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(testbin.Dir(b.t), "voidbox"), args...)
	cmd.Env = b.env
	return cmd
}

func (b *box) voidbox(args ...string) {
	b.t.Helper()
	if out, err := b.command(args...).CombinedOutput(); err != nil {
		b.t.Fatalf("voidbox %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// sh runs a line of shell in the guest, and returns all that it says.
func (b *box) sh(line string) (string, error) {
	out, err := b.command("exec", b.name, "--", "sh", "-c", line).CombinedOutput()
	return string(out), err
}

func (b *box) must(line string) string {
	b.t.Helper()
	out, err := b.sh(line)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// logged demands a line with all parts in the sandbox's log. What it tells of has been answered, but may be reported a moment later.
func (b *box) logged(parts ...string) {
	b.t.Helper()
	found := func() bool {
		files, _ := filepath.Glob(filepath.Join(b.state, "voidbox", "*", b.name, "log"))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			for line := range bytes.Lines(text) {
				missing := false
				for _, part := range parts {
					missing = missing || !bytes.Contains(line, []byte(part))
				}
				if !missing {
					return true
				}
			}
		}
		return false
	}
	if !eventually(found) {
		files, _ := filepath.Glob(filepath.Join(b.state, "voidbox", "*", b.name, "*"))
		b.t.Errorf("the log has no line with %q; there are %v", parts, files)
		for _, file := range files {
			if strings.HasSuffix(file, "/log") {
				text, _ := os.ReadFile(file)
				b.t.Logf("%s", text)
			}
		}
	}
}

// repository makes an empty one on the host, and returns its address in the guest.
func repository(t *testing.T, sshd *testsshd.Server) (dir, url string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "repository.git")
	if out, err := exec.Command("git", "init", "-q", "--bare", "-b", "main", dir).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	return dir, fmt.Sprintf("ssh://%s@%s:%d%s", sshd.User, serverHost, serverPort, dir)
}

func headOf(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("git", "-C", dir, "rev-parse", "main").CombinedOutput()
	if err != nil {
		t.Errorf("nothing arrived: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// userAgent starts an agent of OpenSSH's with a key, as a user has one, and returns its socket.
func userAgent(t *testing.T, key string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if !eventually(func() bool { _, err := os.Stat(socket); return err == nil }) {
		t.Fatal("ssh-agent makes no socket")
	}
	add := exec.Command("ssh-add", "-q", key)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	return socket
}
