package sniff

import (
	"errors"
	"strings"
	"testing"
)

// watch runs a stream through its guard byte by byte, and returns how many bytes passed and why no more did.
func watch(t *testing.T, stream []byte) (passed int, err error) {
	t.Helper()
	first, _ := First(stream)
	if first.Name != "a.example" {
		return 0, errors.New(first.Problem)
	}
	g := NewGuard(first)
	for i := range stream {
		if err := g.Check(stream[i : i+1]); err != nil {
			if again := g.Check(nil); again == nil {
				t.Error("the guard forgot what it found")
			}
			return i, err
		}
	}
	return len(stream), nil
}

func TestGuardOfRequests(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
	const other = "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"
	const post = "POST / HTTP/1.1\r\nHost: a.example\r\n"
	for _, c := range []struct {
		what, stream string
		refused      string // why; empty when all of it passes
	}{
		{"two requests", get + get, ""},
		{"a second host", get + other, "names b.example"},
		{"a second host with a port and capitals", get + "GET / HTTP/1.1\r\nHost: A.EXAMPLE:81\r\n\r\n" + other, "names b.example"},
		{"an empty line between", get + "\r\n" + other, "names b.example"},
		{"no second host", get + "GET / HTTP/1.0\r\n\r\n", "no server name"},
		{"a body that looks like a request", post + "Content-Length: 35\r\n\r\n" + other + get, ""},
		{"a body that is shorter than it looks", post + "Content-Length: 2\r\n\r\nxx" + other, "names b.example"},
		{"two lengths", post + "Content-Length: 2\r\nContent-Length: 40\r\n\r\n" + other, "several lengths"},
		{"a length with a sign", post + "Content-Length: +2\r\n\r\n", "length"},
		{"a huge length", post + "Content-Length: 99999999999999999999\r\n\r\n", "length"},
		{"a length and chunks", post + "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + other, "several lengths"},
		{"chunks", post + "Transfer-Encoding: chunked\r\n\r\n23;x=y\r\n" + other + "\r\n0\r\nTrailer: x\r\n\r\n" + get, ""},
		{"a second host after chunks", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + other, "names b.example"},
		{"chunks by another name", post + "Transfer-Encoding: xchunked\r\n\r\n" + other, "transfer encoding"},
		{"chunks twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer encoding"},
		{"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", "several lengths"},
		{"a chunk of a strange size", post + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n", "size of a chunk"},
		{"a chunk that is longer than it says", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", "end of a chunk"},
		{"a late upgrade", get + "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\r\n", "upgrade"},
		{"a late tunnel", get + "CONNECT b.example:443 HTTP/1.1\r\n", "CONNECT"},
		{"HTTP/2 later", get + "PRI * HTTP/2.0\r\n\r\n", "not HTTP/1"},
		{"an endless second head", get + "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", MaxBytes), "16 KiB"},
	} {
		passed, err := watch(t, []byte(c.stream))
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %v after %d bytes; want %q", c.what, err, passed, c.refused)
		}
		if err != nil && passed == len(c.stream) { // a request that is refused is never whole on the other side
			t.Errorf("%s: it was refused too late", c.what)
		}
	}
}

func TestGuardOfHellos(t *testing.T) {
	first := hello(serverNames("a.example"))
	again := hello(serverNames("a.example"), extension{44, []byte{0, 1, 7}})
	other := hello(serverNames("b.example"))
	changeCipher := []byte{20, 3, 3, 0, 1, 1}
	early := records(23, make([]byte, 1000), 500)
	finished := records(recordHandshake, append([]byte{typeClientHello, 0, 1, 0}, make([]byte, 36)...), maxRecord) // encrypted, and looks like a hello
	join := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for _, c := range []struct {
		what    string
		stream  []byte
		refused string
	}{
		{"a handshake", join(first, changeCipher, early), ""},
		{"a second hello", join(first, changeCipher, again, early), ""},
		{"a second hello for another", join(first, other), "names b.example"},
		{"a second hello for another after a change of cipher", join(first, changeCipher, other), "names b.example"},
		{"a second hello for another after early data", join(first, early, changeCipher, other), "names b.example"},
		{"a second hello for another in the first record", records(recordHandshake, join(helloMessage(serverNames("a.example")), helloMessage(serverNames("b.example"))), maxRecord), "names b.example"},
		{"a second hello in pieces", join(first, records(recordHandshake, helloMessage(serverNames("b.example")), 3)), "names b.example"},
		{"a second hello that is encrypted", join(first, hello(serverNames("a.example"), extension{extensionECH, nil})), "encrypted hello"},
		{"a second hello without a name", join(first, hello()), "no server name"},
		{"TLS 1.2 that resumes", join(first, changeCipher, finished, early), ""},
		{"TLS 1.2", join(first, records(recordHandshake, []byte{16, 0, 0, 1, 0}, 99), changeCipher, finished), ""},
		{"much data", join(first, records(23, make([]byte, maxWatched), 1<<14), other), ""},
	} {
		passed, err := watch(t, c.stream)
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %v after %d of %d bytes; want %q", c.what, err, passed, len(c.stream), c.refused)
		}
	}
}

func TestGuardOfNothing(t *testing.T) {
	if NewGuard(Result{}).Check([]byte("x")) == nil {
		t.Error("a stream without a name passes")
	}
}

// What a guard costs while a body passes.
func BenchmarkGuardOfBody(b *testing.B) {
	head := []byte("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n")
	g := NewGuard(Result{Protocol: HTTP, Name: "a.example"})
	if err := g.Check(head); err != nil {
		b.Fatal(err)
	}
	chunk := []byte("10000\r\n" + strings.Repeat("x", 1<<16) + "\r\n")
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if err := g.Check(chunk); err != nil {
			b.Fatal(err)
		}
	}
}
