package sniff

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// realHello returns what Go's TLS client sends first.
func realHello(t testing.TB, name string) []byte {
	t.Helper()
	client, server := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: name == ""}).HandshakeContext(ctx)
	}()
	b := make([]byte, MaxBytes)
	n, err := server.Read(b)
	cancel()
	server.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// extension is one of a hello that is made by hand.
type extension struct {
	kind uint16
	body []byte
}

func serverNames(names ...string) extension {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, name := range names {
			b.AddUint8(nameTypeHost)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
		}
	})
	return extension{extensionName, b.BytesOrPanic()}
}

// helloMessage makes a client hello, a handshake message.
func helloMessage(extensions ...extension) []byte {
	var b cryptobyte.Builder
	b.AddUint8(typeClientHello)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(0x0303)
		b.AddBytes(make([]byte, 32))
		b.AddUint8(0)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(0x1301) })
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
		if extensions == nil {
			return
		}
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, e := range extensions {
				b.AddUint16(e.kind)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.body) })
			}
		})
	})
	return b.BytesOrPanic()
}

// records writes a payload in records of the given size.
func records(kind byte, payload []byte, size int) []byte {
	var out []byte
	for len(payload) > 0 {
		n := min(size, len(payload))
		out = append(out, kind, 3, 1, byte(n>>8), byte(n))
		out = append(out, payload[:n]...)
		payload = payload[n:]
	}
	return out
}

func hello(extensions ...extension) []byte {
	return records(recordHandshake, helloMessage(extensions...), maxRecord)
}

func TestFirst(t *testing.T) {
	padding := extension{21, make([]byte, 3000)}
	for _, c := range []struct {
		what    string
		in      []byte
		name    string
		problem string
		partial bool // more bytes could say more
	}{
		{what: "a real hello", in: realHello(t, "www.Example.com"), name: "www.example.com"},
		{what: "a real hello without a name", in: realHello(t, ""), problem: "no server name"},
		{what: "a hello in one record", in: hello(serverNames("a.example")), name: "a.example"},
		{what: "a hello in records of one byte", in: records(recordHandshake, helloMessage(padding, serverNames("a.example")), 1)[:6*1024], partial: true, problem: "incomplete"},
		{what: "a hello in records of 7 bytes", in: records(recordHandshake, helloMessage(padding, serverNames("a.example")), 7), name: "a.example"},
		{what: "a hello without extensions", in: hello(), problem: "no server name"},
		{what: "an encrypted hello", in: hello(serverNames("front.example"), extension{extensionECH, []byte{0}}), problem: "encrypted hello"},
		{what: "two names", in: hello(serverNames("a.example", "b.example")), problem: "not a list of one name"},
		{what: "two lists of names", in: hello(serverNames("a.example"), serverNames("b.example")), problem: "two lists"},
		{what: "an address for a name", in: hello(serverNames("127.0.0.1")), problem: "no server name"},
		{what: "a NUL in the name", in: hello(serverNames("a.example\x00.b.example")), problem: "no server name"},
		{what: "an empty list", in: hello(extension{extensionName, []byte{0, 0}}), problem: "not a list of one name"},
		{what: "bytes after the extensions", in: records(recordHandshake, append(helloMessage(serverNames("a.example"))[:3], append([]byte{0xff}, make([]byte, 255)...)...), maxRecord), problem: "malformed"},
		{what: "a hello that promises a megabyte", in: []byte{22, 3, 1, 1, 0, 1, 0x10, 0, 0, 3, 3}, problem: "longer than"},
		{what: "a server's hello", in: []byte{22, 3, 1, 0, 4, 2, 0, 0, 0}, problem: "malformed"},
		{what: "SSL 2", in: []byte{0x80, 0x2e, 1, 0, 2}, problem: "neither TLS nor HTTP"},
		{what: "an empty record", in: []byte{22, 3, 1, 0, 0}, problem: "malformed"},
		{what: "nothing", problem: "incomplete", partial: true},
		{what: "half a hello", in: hello(serverNames("a.example"))[:30], problem: "incomplete", partial: true},

		{what: "a request", in: []byte("GET / HTTP/1.1\r\nHost: A.Example:8080\r\n\r\n"), name: "a.example"},
		{what: "a request of HTTP/1.0", in: []byte("GET / HTTP/1.0\r\nUser-Agent: x\r\nhOST:a.example\r\n\r\n"), name: "a.example"},
		{what: "an absolute target", in: []byte("GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n"), name: "a.example"},
		{what: "an absolute target elsewhere", in: []byte("GET http://b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n"), problem: "another host"},
		{what: "an absolute target with a user", in: []byte("GET http://a.example@b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n"), problem: "another host"},
		{what: "no host", in: []byte("GET / HTTP/1.1\r\n\r\n"), problem: "no server name"},
		{what: "an address", in: []byte("GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n"), problem: "no server name"},
		{what: "two hosts", in: []byte("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n"), problem: "several hosts"},
		{what: "a host on a folded line", in: []byte("GET / HTTP/1.1\r\nX: y\r\n Host: b.example\r\n\r\n"), problem: "header line"},
		{what: "a space before the colon", in: []byte("GET / HTTP/1.1\r\nHost : a.example\r\n\r\n"), problem: "header line"},
		{what: "a bare line feed", in: []byte("GET / HTTP/1.1\nHost: a.example\n\n"), problem: "CR LF"},
		{what: "a bare carriage return", in: []byte("GET / HTTP/1.1\r\nX: y\rHost: b.example\r\nHost: a.example\r\n\r\n"), problem: "CR LF"},
		{what: "HTTP/0.9", in: []byte("GET /\r\n"), problem: "not HTTP/1"},
		{what: "HTTP/2 without TLS", in: []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), problem: "not HTTP/1"},
		{what: "an upgrade", in: []byte("GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\n\r\n"), problem: "upgrade"},
		{what: "a tunnel", in: []byte("CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n"), problem: "CONNECT"},
		{what: "an endless head", in: []byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("a", MaxBytes)), problem: "incomplete"},
		{what: "half a head", in: []byte("GET / HTTP/1.1\r\nHost: a.example\r\n"), problem: "incomplete", partial: true},
		{what: "SSH", in: []byte("SSH-2.0-OpenSSH_9.2\r\n"), problem: "first line"},
		{what: "bytes", in: []byte{0, 1, 2}, problem: "neither TLS nor HTTP"},
	} {
		r, done := First(c.in)
		if r.Name != c.name || done == c.partial || c.problem == "" != (r.Problem == "") || !strings.Contains(r.Problem, c.problem) {
			t.Errorf("%s: %+v, done %v; want the name %q or the problem %q, partial %v", c.what, r, done, c.name, c.problem, c.partial)
		}
	}
}

// However the segments fall, the same name comes out, and not before its last byte is there.
func TestFirstInSegments(t *testing.T) {
	for _, in := range [][]byte{
		hello(serverNames("a.example")), records(recordHandshake, helloMessage(serverNames("a.example")), 3),
		[]byte("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
	} {
		for i := range in {
			if r, done := First(in[:i]); done {
				t.Fatalf("after %d of %d bytes: %+v", i, len(in), r)
			}
		}
		if r, done := First(in); r.Name != "a.example" || !done {
			t.Errorf("%+v, done %v", r, done)
		}
	}
}

func FuzzFirst(f *testing.F) {
	f.Add(realHello(f, "www.example.com"))
	f.Add(records(recordHandshake, helloMessage(serverNames("a.example"), extension{extensionECH, []byte{0}}), 5))
	f.Add([]byte("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, done := First(b)
		if whole.Name != "" && (!done || whole.Problem != "") {
			t.Fatalf("a name with a problem: %+v, done %v", whole, done)
		}
		if !done && len(b) >= MaxBytes {
			t.Fatal("it wants more than it may have")
		}
		// What is decided from a part stays decided.
		for _, i := range []int{len(b) / 3, len(b) / 2} {
			if part, done := First(b[:i]); done && part != whole {
				t.Fatalf("%+v after %d bytes, %+v after %d", part, i, whole, len(b))
			}
		}
		if whole.Name == "" {
			return
		}
		guardAgrees(t, whole, b)
	})
}

// guardAgrees checks that a guard says the same of a stream in one piece and in pieces.
func guardAgrees(t *testing.T, first Result, b []byte) {
	t.Helper()
	whole := NewGuard(first).Check(b)
	g := NewGuard(first)
	var pieces error
	for piece := range bytes.SplitAfterSeq(b, []byte("\n")) {
		if pieces = g.Check(piece); pieces != nil {
			break
		}
	}
	if (whole == nil) != (pieces == nil) {
		t.Fatalf("in one piece: %v; in pieces: %v", whole, pieces)
	}
}
