//go:build linux

package vsock

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHandshakes(t *testing.T) {
	g := startGuest(t, Config{MaxHandshakes: 2}, true)
	for _, line := range []string{
		"\n", "CONNECT\n", "CONNECT \n", "CONNECT x\n", "CONNECT -1\n", "CONNECT 4294967295\n", "CONNECT 4294967296\n",
		"connect 1\n", "CONNECT 1 \n", "CONNECT 1\r\n", "GET / HTTP/1.1\n", strings.Repeat("CONNECT ", 100),
		"CONNECT 00000000000000000001\n",
	} {
		c := g.command(line)
		if b, err := io.ReadAll(c); len(b) != 0 || err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%.30q: read %q, %v", line, b, err)
		}
	}
	g.expectNothing()

	// Clients that say nothing hold the slots; the next is served once one of them is gone.
	silent, other := g.command(""), g.command("CONN")
	waiting := g.command("CONNECT 9\n")
	_ = silent.Close()
	p := g.expectOp(opRequest)
	g.send(g.packet(opResponse, p.dstPort, p.srcPort), nil)
	wantRead(t, waiting, "OK ")
	_ = other.Close()
}

func (g *guest) expectOp(op operation) received {
	g.t.Helper()
	p := g.next()
	if p.op != op {
		g.t.Fatalf("got operation %d, want %d", p.op, op)
	}
	return p
}

func TestHandshakesTimeOut(t *testing.T) {
	g := startGuest(t, Config{HandshakeTimeout: 50 * time.Millisecond}, true)
	t.Run("a client that says nothing", func(t *testing.T) { wantEOF(t, g.command("CONNECT 1")) })
	t.Run("a guest that does not answer", func(t *testing.T) {
		c := g.command("CONNECT 1\n")
		p := g.expectOp(opRequest)
		wantEOF(t, c)
		g.expect(opReset, 1, p.srcPort)
	})
}

func TestSocketIsPrivateAndRemoved(t *testing.T) {
	path := t.TempDir() + "/vsock"
	d, err := New(Config{GuestCID: 3, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{GuestCID: 3, Path: path}); err == nil {
		t.Error("a second device took the same path")
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestNewRefusesBadConfigurations(t *testing.T) {
	good := Config{GuestCID: 3, Path: t.TempDir() + "/vsock"}
	for name, change := range map[string]func(*Config){
		"the host's CID": func(c *Config) { c.GuestCID = 2 },
		"any CID":        func(c *Config) { c.GuestCID = 1<<32 - 1 },
		"no path":        func(c *Config) { c.Path = "" },
		"long path":      func(c *Config) { c.Path += strings.Repeat("x", 100) },
		"no directory":   func(c *Config) { c.Path += "/not/there" },
	} {
		cfg := good
		change(&cfg)
		if d, err := New(cfg); err == nil {
			_ = d.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestConfigSpace(t *testing.T) {
	d := &Device{cfg: Config{GuestCID: 0x0102030405060708}}
	for _, c := range []struct {
		offset uint32
		want   []byte
	}{
		{0, []byte{8, 7, 6, 5, 4, 3, 2, 1, 0, 0}},
		{4, []byte{4, 3, 2, 1, 0}},
		{8, []byte{0, 0}},
		{1<<32 - 1, []byte{0, 0}},
	} {
		got := bytes.Repeat([]byte{9}, len(c.want))
		d.ReadConfig(c.offset, got)
		if !bytes.Equal(got, c.want) {
			t.Errorf("at %d: %x, want %x", c.offset, got, c.want)
		}
	}
}
