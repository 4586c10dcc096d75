package keys_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testsshd"
)

// commit makes a repository with one commit in the guest, and prints its hash.
const commit = `cd && rm -rf work && git init -q -b main work && cd work && echo %[1]s > file && git add file &&
	git -c user.name=a -c user.email=a@example.com commit -q -m %[1]s && git rev-parse HEAD`

// TestPushWithADeployKey pushes from the guest with a key that the guest does not have.
func TestPushWithADeployKey(t *testing.T) {
	sshd := testsshd.Start(t)
	key, other := testsshd.Key(t, "ed25519"), testsshd.Key(t, "ed25519")
	sshd.Authorize(t, key)
	b := create(t, sshd, fmt.Sprintf("deploy_key %q {\nsource = %q\nhosts = [\"%s:%d\"]\n}\n", "site", key, serverHost, serverPort))
	dir, url := repository(t, sshd)

	head := strings.TrimSpace(b.must(fmt.Sprintf(commit, "first")))
	b.must("cd ~/work && git push -q " + url + " main")
	if got := headOf(t, dir); got != head {
		t.Errorf("main is %s, and was pushed as %s", got, head)
	}
	b.logged("key used", "key=site", "for=login", "user="+sshd.User, fmt.Sprintf("host=[%s]:%d", serverHost, serverPort))

	t.Run("the key is not in the guest", func(t *testing.T) { keyIsNotThere(t, b, key) })
	t.Run("nothing is added, removed or locked", func(t *testing.T) {
		one := func() {
			t.Helper()
			if out := b.must("ssh-add -l"); !strings.Contains(out, " site (ED25519)") || strings.Count(out, "\n") != 1 {
				t.Errorf("keys: %q", out)
			}
		}
		one()
		b.voidbox("cp", other, b.name+":/tmp/other")
		b.must("chmod 600 /tmp/other && ssh-keygen -y -f /tmp/other > /tmp/other.pub && ssh-add -L > /tmp/site.pub")
		for _, line := range []string{"ssh-add /tmp/other", "ssh-add -D", "ssh-add -d /tmp/site.pub", "SSH_ASKPASS=/bin/echo SSH_ASKPASS_REQUIRE=force ssh-add -x"} {
			if out, err := b.sh(line); err == nil {
				t.Errorf("%s: %s", line, out)
			}
		}
		one()
		b.logged("key refused", `for="add a key"`)
	})
	t.Run("it logs in at its host and signs nothing else", func(t *testing.T) {
		// The same server by another name is another host.
		out, err := b.sh(fmt.Sprintf("ssh -o BatchMode=yes -o StrictHostKeyChecking=no -p %d -o HostKeyAlias=elsewhere %s@%s true", serverPort, sshd.User, serverHost))
		if err != nil {
			t.Errorf("an alias for the client is the same host by its key: %v: %s", err, out)
		}
		if out, err := b.sh("echo text > /tmp/text && ssh-keygen -Y sign -n file -f /tmp/site.pub /tmp/text"); err == nil {
			t.Errorf("a signature that is no login: %s", out)
		}
		b.logged("key refused", "for=signature")
	})
	t.Run("who else is in the guest cannot use it", func(t *testing.T) {
		if out, err := b.command("exec", "-u", "1001", "-e", "SSH_AUTH_SOCK=/run/ssh-agent.sock", b.name, "--", "ssh-add", "-l").CombinedOutput(); err == nil {
			t.Errorf("another user: %s", out)
		}
		out, err := b.sh(`python3 -c '
import socket
s = socket.socket(socket.AF_VSOCK)
s.connect((2, 1026))
s.sendall(bytes(32) + b"\0\0\0\x01\x0b")
print(s.recv(100))'`)
		if err != nil || out != "b''\n" {
			t.Errorf("past the socket: %v: %s", err, out)
		}
	})
}

// TestKeyOfAnotherHost has a key for a host that is not the one that is logged in to.
func TestKeyIsForItsHostOnly(t *testing.T) {
	sshd := testsshd.Start(t)
	key, free := testsshd.Key(t, "ed25519"), testsshd.Key(t, "rsa", "-b", "3072")
	sshd.Authorize(t, key)
	b := create(t, sshd, fmt.Sprintf("deploy_key %q {\nsource = %q\nhosts = [\"github.com\"]\n}\ndeploy_key %q {\nsource = %q\n}\n", "bound", key, "free", free))
	login := fmt.Sprintf("ssh -o BatchMode=yes -p %d %s@%s echo in", serverPort, sshd.User, serverHost)
	if out, err := b.sh(login); err == nil {
		t.Errorf("a key for github.com logs in here: %s", out)
	}
	b.logged("key refused", "key=bound", "for=login", "none of those that the key is for")

	sshd.Authorize(t, free)
	if out := b.must(login); !strings.Contains(out, "in") {
		t.Errorf("a key for all hosts: %q", out)
	}
	b.logged("key used", "key=free")
	if out := b.must("grep -c . /etc/ssh/ssh_known_hosts"); strings.TrimSpace(out) == "0" {
		t.Error("no known hosts")
	}
	b.must("ssh-keygen -F github.com -f /etc/ssh/ssh_known_hosts")
}

// TestAgentOfTheUser lends an agent that runs already.
func TestAgentOfTheUser(t *testing.T) {
	sshd := testsshd.Start(t)
	key := testsshd.Key(t, "ecdsa")
	sshd.Authorize(t, key)
	socket := userAgent(t, key)
	b := create(t, sshd, "ssh_agent = true\n", "SSH_AUTH_SOCK="+socket)
	dir, url := repository(t, sshd)
	head := strings.TrimSpace(b.must(fmt.Sprintf(commit, "second")))
	b.must("cd ~/work && git push -q " + url + " main")
	if got := headOf(t, dir); got != head {
		t.Errorf("main is %s, and was pushed as %s", got, head)
	}
	b.logged("key used", "key=test", "for=login")
	if out, err := b.sh("ssh-add -D"); err == nil {
		t.Errorf("the guest has emptied the agent: %s", out)
	}
	cmd := exec.Command("ssh-add", "-l")
	cmd.Env = append(cmd.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("keys of the user's agent: %v: %s", err, out)
	}
}
