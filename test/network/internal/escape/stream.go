//go:build linux

package escape

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const readSize = 64 << 10

func stream(to string, pieces [][]byte, cut int) ([]byte, error) {
	conn, err := net.DialTimeout("tcp", to, patience)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	got, err := say(conn, pieces, cut)
	if err != nil {
		return got, err
	}
	rest, err := io.ReadAll(conn)
	return append(got, rest...), err
}

// say sends each piece but the first after something has come back for the one before, in writes of cut bytes if that is not 0: each
// is a segment.
func say(conn net.Conn, pieces [][]byte, cut int) (got []byte, err error) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	for i, piece := range pieces {
		if i > 0 {
			b := make([]byte, readSize)
			n, err := conn.Read(b)
			got = append(got, b[:n]...)
			if err != nil {
				return got, err
			}
		}
		for len(piece) > 0 {
			n := len(piece)
			if cut > 0 {
				n = min(n, cut)
			}
			if _, err := conn.Write(piece[:n]); err != nil {
				return got, err
			}
			piece = piece[n:]
		}
	}
	return got, nil
}

func (s streams) talk(to string, pieces [][]byte) ([]byte, error) {
	conn := s[to]
	if conn == nil {
		var err error
		if conn, err = net.DialTimeout("tcp", to, patience); err != nil {
			return nil, err
		}
		s[to] = conn
	}
	got, err := say(conn, pieces, 0)
	if err != nil {
		return got, err
	}
	b := make([]byte, readSize)
	n, err := conn.Read(b)
	return append(got, b[:n]...), err
}

// fetch gets a page by the name of its server, and follows where it is sent.
func fetch(url string, roots []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func resolve(r Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, at string) (net.Conn, error) {
		if r.From != "" {
			at = r.From
		}
		if r.Over != "" {
			network = r.Over
		}
		var d net.Dialer
		return d.DialContext(ctx, network, at)
	}}
	addrs, err := resolver.LookupHost(ctx, r.To)
	return []byte(strings.Join(addrs, " ")), err
}
