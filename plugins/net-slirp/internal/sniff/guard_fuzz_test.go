package sniff

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// FuzzGuard holds a guard against real servers: in what it lets through, net/http and crypto/tls hear of no other host than the one
// that was allowed. And however the stream is cut into pieces, the guard says the same of it.
func FuzzGuard(f *testing.F) {
	const get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
	const other = "GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n"
	const post = "POST /x HTTP/1.1\r\nHost: A.example:80\r\n"
	for _, stream := range []string{
		get + get, get + other, get + "\r\n" + other,
		post + "Content-Length: 3\r\n\r\nabc" + other,
		post + "Content-Length: 50\r\n\r\n" + other + get,
		post + "Transfer-Encoding: chunked\r\n\r\n35;x=y\r\n" + other + "\r\n0\r\nHost: b.example\r\n\r\n" + get,
		post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + other,
		post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + other,
		"POST / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx" + other,
		"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\n\r\n",
		"PUT * HTTP/1.1\r\nHost: a.example.\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nxx" + get,
	} {
		f.Add([]byte(stream), uint64(0x1234567))
	}
	again := hello(serverNames("a.example"), extension{44, []byte{0, 1, 7}})
	for _, second := range [][]byte{again, hello(serverNames("b.example")), records(recordHandshake, helloMessage(serverNames("b.example")), 3)} {
		f.Add(append(append(realHello(f, "a.example"), 20, 3, 3, 0, 1, 1), second...), uint64(99))
	}
	f.Fuzz(func(t *testing.T, stream []byte, cuts uint64) {
		first, _ := First(stream)
		if first.Name == "" {
			return
		}
		passed, why := letThrough(first, stream, func() int { return 1 })
		inPieces, same := letThrough(first, stream, func() int {
			cuts = cuts*6364136223846793005 + 1442695040888963407
			return int(cuts>>33)%(1<<(cuts>>60)) + 1
		})
		if fmt.Sprint(why) != fmt.Sprint(same) || inPieces > passed || why == nil && inPieces != len(stream) {
			t.Fatalf("byte by byte %d bytes passed (%v), in pieces %d (%v)", passed, why, inPieces, same)
		}
		hears := httpServerHears
		if first.Protocol == TLS {
			hears = tlsServerHears
		}
		for _, host := range hears(stream[:passed]) {
			if host != first.Name {
				t.Errorf("a server hears of %q on a connection for %q", host, first.Name)
			}
		}
	})
}

// letThrough returns how many bytes pass a guard, in pieces of the given lengths, and why no more do.
func letThrough(first Result, stream []byte, length func() int) (passed int, err error) {
	g := NewGuard(first)
	for passed < len(stream) {
		piece := stream[passed:min(passed+length(), len(stream))]
		if err := g.Check(piece); err != nil {
			return passed, err
		}
		passed += len(piece)
	}
	return passed, nil
}

// httpServerHears returns the hosts of the requests that net/http reads.
func httpServerHears(stream []byte) (hosts []string) {
	in := bufio.NewReader(bytes.NewReader(stream))
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return hosts
		}
		host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
		hosts = append(hosts, strings.TrimSuffix(host, "."))
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return hosts
		}
	}
}

// tlsServerHears returns the name that crypto/tls reads, if any.
func tlsServerHears(stream []byte) (hosts []string) {
	_ = tls.Server(&onlyBytes{left: stream}, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName != "" {
			hosts = append(hosts, strings.ToLower(hello.ServerName))
		}
		return nil, errors.New("that is enough")
	}}).Handshake()
	return hosts
}

// onlyBytes is a connection of which bytes come, and then the end.
type onlyBytes struct {
	net.Conn
	left []byte
}

func (c *onlyBytes) Read(b []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (c *onlyBytes) Write(b []byte) (int, error) { return len(b), nil }
