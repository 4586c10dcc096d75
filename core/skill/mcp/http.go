package mcp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Through is a way to addresses by a dialer.
func Through(dial func(ctx context.Context, network, address string) (net.Conn, error)) http.RoundTripper {
	return &http.Transport{DialContext: dial, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10}
}

// bounded adds headers to requests and bounds answers.
type bounded struct {
	next    http.RoundTripper
	headers map[string]string
}

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range b.headers {
		r.Header.Set(name, value)
	}
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	// Streams are bounded by the event; everything else is one message.
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		resp.Body = &body{ReadCloser: resp.Body, left: MaxMessage}
	}
	return resp, nil
}

// CloseIdleConnections ends what an HTTP client keeps.
func (b *bounded) CloseIdleConnections() {
	if c, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// body is an answer of at most so many bytes.
type body struct {
	io.ReadCloser
	left int
}

var errLong = errors.New("it sent an answer that is too long")

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
