package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/voidbox-run/voidbox/internal/taplink"
)

// page has the guest ask for pages of a name, on one connection, of which the plugin reads every request. At the end it may ask for a
// page of another name, and must not get it.
func (l *load) page(ctx context.Context, rng *rand.Rand) error {
	name := fmt.Sprintf("w%d%s", rng.IntN(5000), domain)
	found, err := l.resolver().LookupNetIP(ctx, "ip4", name)
	if err != nil {
		return l.inVain(err)
	}
	if len(found) != 1 || found[0] != webIP {
		return fmt.Errorf("%s is %v", name, found)
	}
	conns := http.Transport{MaxConnsPerHost: 1, DialContext: func(ctx context.Context, proto, _ string) (net.Conn, error) {
		return l.w.guestDials(ctx, proto, netip.AddrPortFrom(webIP, 80))
	}}
	defer conns.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	host := name[:len(name)-1]
	for range 1 + rng.IntN(5) {
		if err := l.get(ctx, &conns, host, rng.Int64N(100_000)); err != nil {
			return err
		}
		l.done.add("pages", 1)
	}
	if rng.IntN(4) > 0 {
		return nil
	}
	if err := l.get(ctx, &conns, "other"+domain[:len(domain)-1], 1); err == nil || errors.Is(err, errOtherBytes) {
		return fmt.Errorf("on a connection for %s, a page of another name: %w", host, err)
	}
	l.done.add("pages refused", 1)
	return nil
}

func (l *load) get(ctx context.Context, conns *http.Transport, host string, size int64) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/%d", webIP, size), nil)
	if err != nil {
		return err
	}
	r.Host = host
	answer, err := conns.RoundTrip(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := readStream(answer.Body, pageSeed(size))
	if err == nil && n != size {
		err = fmt.Errorf("%w: %d bytes in the place of %d", errOtherBytes, n, size)
	}
	l.done.add("bytes", n)
	if err == nil {
		_, _ = answer.Body.Read(make([]byte, 1)) // its end, so that the connection can be kept
	}
	return err
}

func pageSeed(size int64) (s seed) {
	binary.LittleEndian.PutUint64(s[:], uint64(size))
	return s
}

func (l *load) servePages(ctx context.Context, group *errgroup.Group) error {
	var listener net.Listener
	err := taplink.InNamespace(path(l.w.web), func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(webIP, 80).String())
		return err
	})
	if err != nil {
		return err
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if size, err := strconv.ParseInt(r.URL.Path[1:], 10, 64); err == nil {
			_, _ = writeStream(w, pageSeed(size), amount{bytes: size})
		}
	})}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	group.Go(func() error { return unlessDone(ctx, server.Serve(listener)) })
	return nil
}
