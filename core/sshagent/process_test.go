package sshagent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/voidbox-run/voidbox/internal/testsshd"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

var testToken = bytes.Repeat([]byte{7}, TokenSize)

// start runs an agent in its own process, with deploy keys; it ends with the test.
func start(t *testing.T, cfg Config) (*Agent, string, chan Report) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vb") // short, since a socket lies in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cfg.Token = testToken
	reports := make(chan Report, 1000)
	socket := filepath.Join(dir, "vsock_1026")
	a, err := Start(t.Context(), socket, cfg, Launch{Program: os.Args[0], Heard: func(r Report) { reports <- r }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(context.Background()) })
	return a, socket, reports
}

func dial(t *testing.T, socket string, token []byte) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(token); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestProcessListsAndSigns(t *testing.T) {
	var cfg Config
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		cfg.Keys = append(cfg.Keys, Key{Name: kind, Path: testsshd.Key(t, kind)})
	}
	_, socket, reports := start(t, cfg)
	client := agent.NewClient(dial(t, socket, testToken))
	keys, err := client.List()
	if err != nil || len(keys) != 3 {
		t.Fatalf("%v, %v", keys, err)
	}
	for _, k := range keys {
		text := []byte("text for " + k.Comment)
		sig, err := client.SignWithFlags(k, text, agent.SignatureFlagRsaSha512)
		if err != nil {
			t.Errorf("%s: %v", k.Comment, err)
			continue
		}
		public, err := ssh.ParsePublicKey(k.Blob)
		if err == nil {
			err = public.Verify(text, sig)
		}
		if r := <-reports; err != nil || r.Signed == nil || r.Signed.Key != k.Comment || r.Signed.For != "unknown" {
			t.Errorf("%s: %v, %+v", k.Comment, err, r.Signed)
		}
	}
	if _, err := client.SignWithFlags(keys[2], []byte("text"), 0); err == nil {
		t.Error("RSA with SHA-1")
	}
	if err := client.RemoveAll(); err == nil {
		t.Error("keys can be removed")
	}
	if err := client.Lock([]byte("x")); err == nil {
		t.Error("the agent can be locked")
	}
}

func TestHostileConnections(t *testing.T) {
	_, socket, _ := start(t, Config{Keys: []Key{{Name: "k", Path: testsshd.Key(t, "ed25519")}}})
	list := []byte{0, 0, 0, 1, msgRequestIdentities}
	for name, c := range map[string]struct {
		token []byte
		send  []byte
	}{
		"wrong token":  {make([]byte, TokenSize), list},
		"huge message": {testToken, []byte{0xff, 0xff, 0xff, 0xff, 1}},
		"empty":        {testToken, []byte{0, 0, 0, 0}},
	} {
		conn := dial(t, socket, c.token)
		if _, err := conn.Write(c.send); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); len(got) != 0 || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	// Idle ones take their places, and no more than those.
	for range maxConnections - 1 {
		dial(t, socket, nil)
	}
	if keys, err := agent.NewClient(dial(t, socket, testToken)).List(); err != nil || len(keys) != 1 {
		t.Errorf("beside idle connections: %v, %v", keys, err)
	}
}

func TestBadConfigurations(t *testing.T) {
	good := testsshd.Key(t, "ed25519")
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"missing key":  {Config{Token: testToken, Keys: []Key{{Name: "k", Path: good + "x"}}}, "deploy key k: there is no key"},
		"unknown host": {Config{Token: testToken, Keys: []Key{{Name: "k", Path: good, Hosts: []string{"nowhere.example"}}}}, "not known"},
		"no token":     {Config{}, "the token has 0 bytes"},
	} {
		socket := filepath.Join(t.TempDir(), "s")
		_, err := Start(t.Context(), socket, c.cfg, Launch{Program: os.Args[0]})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "missing key" && errdef.Remedy(err) == "" {
			t.Error("no remedy")
		}
	}
}

func TestConfinedAndMortal(t *testing.T) {
	a, socket, _ := start(t, Config{Keys: []Key{{Name: "k", Path: testsshd.Key(t, "ed25519")}}})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.process.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("no %q in\n%s", line, status)
		}
	}
	if err := syscall.Kill(a.process.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-a.Done()
	if err := a.Err(); err == nil || !strings.Contains(err.Error(), "the SSH agent ended: signal: killed") {
		t.Errorf("%v", err)
	}
	if conn, err := net.Dial("unix", socket); err == nil {
		conn.Close()
		t.Error("somebody still serves")
	}
}

// A login at a real server, by OpenSSH's client, without a VM between.
func TestUpstreamIsAskedAndNotChanged(t *testing.T) {
	ring := agent.NewKeyring()
	raw, err := os.ReadFile(testsshd.Key(t, "ecdsa"))
	if err != nil {
		t.Fatal(err)
	}
	private, err := ssh.ParseRawPrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Add(agent.AddedKey{PrivateKey: private, Comment: "theirs"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "user")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, conn)
			conn.Close()
		}
	}()
	a, socket, reports := start(t, Config{Upstream: path, Keys: []Key{{Name: "ours", Path: testsshd.Key(t, "ed25519")}}})
	conn := dial(t, socket, testToken)
	client := agent.NewClient(conn)
	keys, err := client.List()
	if err != nil || len(keys) != 2 || keys[0].Comment != "ours" || keys[1].Comment != "theirs" {
		t.Fatalf("%v, %v", keys, err)
	}
	if _, err := client.Sign(keys[1], []byte("text")); err != nil {
		t.Error(err)
	}
	if r := <-reports; r.Signed == nil || r.Signed.Key != "theirs" {
		t.Errorf("%+v", r)
	}
	if err := client.RemoveAll(); err == nil {
		t.Error("the user's keys can be removed")
	}
	if held, err := ring.List(); err != nil || len(held) != 1 {
		t.Errorf("the user has %v, %v", held, err)
	}
	conn.Close()
	a.Close(context.Background())
	l.Close()
	<-done
}
