package sshsocket

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func me() boot.User { return boot.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())} }

func TestConnectionsAreCarried(t *testing.T) {
	hosts := make(chan net.Conn, 1)
	path := filepath.Join(t.TempDir(), "agent")
	s, err := Listen(path, me(), []byte("token"), func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		hosts <- theirs
		return ours, nil
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	host := <-hosts
	got := make([]byte, len("token")+len("question"))
	go func() { _, _ = client.Write([]byte("question")) }()
	if _, err := io.ReadFull(host, got); err != nil || string(got) != "tokenquestion" {
		t.Errorf("the host reads %q, %v", got, err)
	}
	go func() {
		_, _ = host.Write([]byte("answer"))
		host.Close()
	}()
	if answer, err := io.ReadAll(client); err != nil || string(answer) != "answer" {
		t.Errorf("the client reads %q, %v", answer, err)
	}
	client.Close()

	idle, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	host = <-hosts
	go func() { _, _ = io.Copy(io.Discard, host) }()
	s.Close()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives the socket")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestHostThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent")
	s, err := Listen(path, me(), nil, func() (net.Conn, error) { return nil, errors.New("nobody") }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 3 * maxConnections {
		client, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		client.Close()
	}
}
