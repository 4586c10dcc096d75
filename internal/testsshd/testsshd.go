// Package testsshd runs OpenSSH's server for tests, with a configuration of its own: one process for each connection, as inetd would
// start it, so that no port has to be guessed and nothing outlives the test. Who logs in is whoever runs the test.
package testsshd

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Server is a server on the loopback.
type Server struct {
	Addr    *net.TCPAddr
	User    string // that can log in
	HostKey string // "KIND KEY", as in a known_hosts file

	dir string
	mu  sync.Mutex
	log bytes.Buffer
}

// program is not in the PATH of ordinary users.
const program = "/usr/sbin/sshd"

// Start starts a server that lets nobody in. Where there is no sshd, the test is skipped, or fails under VOIDBOX_REQUIRE_VM.
func Start(t testing.TB) *Server {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("VOIDBOX_REQUIRE_VM") == "1" {
			t.Fatalf("openssh-server is missing (make deps-test): %v", err)
		}
		t.Skip("openssh-server is missing (make deps-test)")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" { // sshd demands it of root, and Debian makes it when the service starts
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := &Server{User: me.Username, dir: t.TempDir()}
	hostKey := Key(t, "ed25519")
	s.HostKey = Public(t, hostKey)
	config := fmt.Sprintf("HostKey %s\nAuthorizedKeysFile %s\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n"+
		"KbdInteractiveAuthentication no\nPermitRootLogin yes\nLogLevel VERBOSE\n", hostKey, s.file("authorized_keys"))
	if err := os.WriteFile(s.file("config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Authorize(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = listener.Addr().(*net.TCPAddr)
	var serving sync.WaitGroup
	serving.Go(func() { s.serve(listener, &serving) })
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
		if t.Failed() {
			t.Logf("sshd says:\n%s", s.Log())
		}
	})
	return s
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) serve(listener net.Listener, serving *sync.WaitGroup) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		serving.Go(func() {
			defer conn.Close()
			file, err := conn.(*net.TCPConn).File()
			if err != nil {
				return
			}
			defer file.Close()
			cmd := exec.Command(program, "-i", "-e", "-f", s.file("config"))
			cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, s
			_ = cmd.Run() // what it thinks of it is in the log
		})
	}
}

// Write takes what sshd says.
func (s *Server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

// Log is what all of sshd's processes have said.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Authorize lets in who holds the private half of one of the keys, given as their files, and nobody else.
func (s *Server) Authorize(t testing.TB, keys ...string) {
	t.Helper()
	var lines []byte
	for _, key := range keys {
		lines = append(lines, Public(t, key)+"\n"...)
	}
	if err := os.WriteFile(s.file("authorized_keys"), lines, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Known is the server's line of a known_hosts file, under a name and port by which somebody reaches it.
func (s *Server) Known(host string, port int) string {
	return "[" + host + "]:" + strconv.Itoa(port) + " " + s.HostKey
}

// Key makes a key pair, without a passphrase, and returns the private file.
func Key(t testing.TB, kind string, more ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "id_"+kind)
	out, err := exec.Command("ssh-keygen", append([]string{"-q", "-t", kind, "-N", "", "-C", "test", "-f", path}, more...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return path
}

// Public returns the public half of a key, "KIND KEY".
func Public(t testing.TB, key string) string {
	t.Helper()
	text, err := os.ReadFile(key + ".pub")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		t.Fatalf("public key: %q, %v", text, err)
	}
	return fields[0] + " " + fields[1]
}
