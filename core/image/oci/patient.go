package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Pauses between attempts.
const (
	firstPause  = 500 * time.Millisecond
	maxPause    = 60 * time.Second
	maxAttempts = 5
)

// patient repeats requests that fail in passing, with growing pauses or as the registry asks for.
type patient struct {
	inner http.RoundTripper
	opt   Options
	host  string
}

// baseTransport bounds what a silent peer can make us wait for.
func baseTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 30 * time.Second
	t.TLSHandshakeTimeout = 15 * time.Second
	t.DisableKeepAlives = true // a pull has few requests, and nobody closes what idles
	return t
}

// RoundTrip is that of the inner one, repeated. Requests have no body here.
func (p *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := p.inner.RoundTrip(req)
		pause := p.opt.pause << (attempt - 1)
		switch {
		case attempt == maxAttempts || req.Body != nil || !passing(resp, err):
			return resp, err
		case err == nil:
			if asked := retryAfter(resp.Header.Get("Retry-After"), time.Now()); asked > 0 {
				pause = asked
			}
			if pause > maxPause {
				return resp, nil
			}
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
			_ = resp.Body.Close()
			err = fmt.Errorf("it says: %s", resp.Status)
		}
		p.opt.progress("registry %s: %v; asking again in %s", p.host, err, pause.Round(10*time.Millisecond))
		if err := sleep(req.Context(), min(pause, maxPause)); err != nil {
			return nil, err
		}
	}
}

// passing tells whether another attempt may end better.
func passing(resp *http.Response, err error) bool {
	if err != nil {
		var timeout net.Error
		return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
			errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, context.DeadlineExceeded)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads a number of seconds or a date (RFC 9110, section 10.2.3); 0 is no wish.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
