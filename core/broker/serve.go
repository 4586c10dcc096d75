package broker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/netutil"
)

// Command is the hidden command of voidbox that is a broker. Its argument is the path of its socket, in a directory that is private to
// it.
const Command = "broker"

// Serve is the broker's process: it confines itself, listens, and serves until its input ends. The socket's directory goes with it.
func Serve(socket string, in io.Reader, out io.Writer) error {
	defer os.RemoveAll(filepath.Dir(socket))
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	transport, err := newTransport()
	if err != nil {
		return err
	}
	if err := confineProcess(filepath.Dir(socket)); err != nil {
		return fmt.Errorf("confine the broker: %w", err)
	}
	reports := &reporter{enc: json.NewEncoder(out)}
	ledger := newLedger(reports.write)
	server := &http.Server{
		Handler: &proxy{ledger: ledger, transport: transport}, ReadHeaderTimeout: headerTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(netutil.LimitListener(listener, maxConnections)) })
	defer serving.Wait()
	defer server.Close()
	reports.write(Report{Listening: true})
	return obey(in, ledger, reports)
}

// obey carries out requests until there are no more.
func obey(in io.Reader, l *ledger, reports *reporter) error {
	dec := json.NewDecoder(bufio.NewReader(in))
	for {
		var req request
		if err := dec.Decode(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return errors.New("the request cannot be read") // an error of encoding/json may quote it, and it may hold a key
		}
		if req.Grant == nil {
			spent := l.revoke(req.Revoke)
			reports.write(Report{Token: req.Revoke, Done: true, Spent: &spent})
			continue
		}
		r := Report{Token: req.Grant.Token, Done: true}
		if err := l.open(*req.Grant); err != nil {
			r.Done, r.Refused = false, err.Error()
		}
		reports.write(r)
	}
}

// reporter writes reports, one after the other.
type reporter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (r *reporter) write(report Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.enc.Encode(report) // who does not listen any more ends us by our input
}

// newTransport reads of the environment and of files what a confined process cannot.
func newTransport() (*http.Transport, error) {
	roots, err := systemRoots()
	if err != nil {
		return nil, fmt.Errorf("read the certificates of this machine: %w", err)
	}
	proxyOf := httpproxy.FromEnvironment().ProxyFunc()
	dialer := &net.Dialer{Timeout: 10 * time.Second, Resolver: &net.Resolver{PreferGo: true}}
	t := &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) { return proxyOf(r.URL) },
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, addr)
		},
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // what is to be counted must be readable
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
	}
	t.TLSClientConfig = roots
	return t, nil
}
