package network_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/test/network/internal/escape"
)

// escapee is a guest that wants to get out, with the internet that it wants to reach.
type escapee struct {
	*guest
	t *testing.T // of the present way
	*program
	wire  *wire
	roots []byte // certificate of the servers

	ports    int // that were given to ways
	mu       sync.Mutex
	received map[string][]byte // by servers, by the address that it came to
}

// program is one that runs in the guest and does what it is told.
type program struct {
	in  *json.Encoder
	out *json.Decoder
}

const inGuest = "/tmp/escape"

// start starts the program once more.
func (e *escapee) start() *program {
	e.t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		exit, err := e.Exec(context.WithoutCancel(e.Context()), sandbox.Command{Args: []string{inGuest}}, sandbox.IO{Stdin: inR, Stdout: outW, Stderr: os.Stderr})
		if err == nil && exit.Code != 0 {
			err = fmt.Errorf("exit status %d", exit.Code)
		}
		_ = outW.CloseWithError(fmt.Errorf("the guest's program has ended: %v", err))
		ended <- err
	}()
	e.Cleanup(func() {
		_ = inW.Close()
		if err := <-ended; err != nil {
			e.Errorf("the guest's program: %v", err)
		}
	})
	return &program{in: json.NewEncoder(inW), out: json.NewDecoder(outR)}
}

// ask has the guest do something.
func (p *program) ask(t *testing.T, r escape.Request) (a escape.Answer) {
	t.Helper()
	if err := p.in.Encode(r); err != nil {
		t.Fatal(err)
	}
	if err := p.out.Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

// install puts the program into the guest.
func (e *escapee) install() {
	e.Helper()
	f, err := os.Open(filepath.Join(os.Getenv(programsEnv), "escape"))
	e.must(err)
	defer f.Close()
	_, err = e.WriteFile(e.Context(), inGuest, sandbox.WriteOptions{Mode: 0o755}, f)
	e.must(err)
}

// record takes connections at an address of the internet, notes what comes and says ok to everything.
func (e *escapee) record(at string) {
	e.Helper()
	l := e.Listen(at)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(e.Context(), func() { _ = conn.Close() })
			all.Go(func() { defer stop(); defer conn.Close(); e.answerAll(at, conn) })
		}
	})
	e.Cleanup(func() { _ = l.Close(); all.Wait() })
}

func (e *escapee) answerAll(at string, conn net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := conn.Read(b)
		e.note(at, b[:n])
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

// recordPackets is record for datagrams.
func (e *escapee) recordPackets(at string) {
	e.Helper()
	c := e.ListenPacket(at)
	var reading sync.WaitGroup
	reading.Go(func() {
		b := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			e.note(at, b[:n])
			_, _ = c.WriteTo([]byte("ok"), from)
		}
	})
	e.Cleanup(func() { _ = c.Close(); reading.Wait() })
}

func (e *escapee) note(at string, b []byte) {
	if len(b) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.received[at] = append(e.received[at], b...)
}

// taken returns what servers have received, and forgets it.
func (e *escapee) taken() map[string][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.received
	e.received = map[string][]byte{}
	return all
}

// sites are servers that guests may reach: one with pages by HTTP and HTTPS, which sends its readers elsewhere, too, if they ask for that.
func (e *escapee) sites() {
	e.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "a page of %s\n", r.Host) })
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.RawQuery, http.StatusFound) })
	e.serve(webName, webAddress, mux)
	e.AddName(webName, webAddress6)
	cert, roots := certificate(e.T, webName, otherName)
	e.roots = roots
	secure := &httptest.Server{Listener: e.Listen(net.JoinHostPort(webAddress, "443")), Config: &http.Server{Handler: mux}, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	secure.StartTLS()
	e.Cleanup(secure.Close)
}

// certificate makes one for names, and what whoever trusts it has to know.
func certificate(t *testing.T, names ...string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), // guests may have another clock
	}
	der, err := x509.CreateCertificate(rand.Reader, &about, &about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// allowedWorks does everything that the policy allows.
func (e *escapee) allowedWorks(when string) {
	e.Helper()
	for _, c := range []struct {
		r    escape.Request
		want string
	}{
		{escape.Request{Do: escape.Resolve, To: webName + "."}, webAddress},
		{escape.Request{Do: escape.Resolve, To: "WEB.Example.", Over: "tcp"}, webAddress},
		{escape.Request{Do: escape.Fetch, To: "http://" + webName + "/page"}, "a page of " + webName},
		{escape.Request{Do: escape.Fetch, To: "https://" + webName + "/page", Roots: e.roots}, "a page of " + webName},
		{escape.Request{Do: escape.Fetch, To: "http://models:11434/"}, "a model"},
		{escape.Request{Do: escape.Datagram, To: echoServer, Send: [][]byte{[]byte("datagram")}, Answered: true}, "datagram"},
	} {
		if a := e.ask(e.T, c.r); a.Error != "" || !strings.Contains(string(a.Got), c.want) {
			e.Errorf("%s: %s %s: %q, %s; want %q", when, c.r.Do, c.r.To, a.Got, a.Error, c.want)
		}
	}
	e.kept(when)
}

// kept has the guest ask for one more page on a connection that is open all the time.
func (e *escapee) kept(when string) {
	e.t.Helper()
	a := e.ask(e.t, escape.Request{Do: escape.Hold, To: webAddress + ":80", Send: [][]byte{[]byte("GET /page HTTP/1.1\r\nHost: " + webName + "\r\n\r\n")}})
	if a.Error != "" || !bytes.Contains(a.Got, []byte("a page of "+webName)) {
		e.t.Errorf("%s: the connection that was allowed: %q, %s", when, a.Got, a.Error)
	}
}

// tried runs a way, and looks at what has become of it.
func (e *escapee) tried(w way) {
	e.Run(w.what, func(t *testing.T) {
		e.t = t
		defer func() { e.t = e.T }()
		before := e.heardSoFar()
		e.taken()
		a := w.try(e)
		if a.since > 0 {
			before = a.since
		}
		if !e.heard(before, func(d event.Data) bool {
			denied, ok := d.(event.FlowDenied)
			return ok && (denied.Destination == a.told || denied.Name == a.told) && strings.Contains(denied.Rule, w.rule)
		}) {
			t.Fatalf("nothing told that %s was denied by %s, but %q", a.told, w.rule, e.denials(before))
		}
		got := e.taken()
		if !bytes.Equal(got[a.at], a.served) {
			t.Errorf("%s got %q; want %q", a.at, got[a.at], a.served)
		}
		delete(got, a.at)
		if len(got) > 0 {
			t.Errorf("servers got %q", got)
		}
		if strays := e.wire.strays(t); len(strays) > 0 {
			t.Errorf("there left the machine: %s", strings.Join(strays, "; "))
		}
		e.kept("beside it")
	})
}

// denials are the denials since an event, for whoever wonders.
func (e *escapee) denials(since int) (all []string) {
	e.host.mu.Lock()
	defer e.host.mu.Unlock()
	for _, ev := range e.events[since:] {
		if d, ok := ev.Data.(event.FlowDenied); ok {
			all = append(all, fmt.Sprintf("%s %s (%s) by %s", d.Protocol, d.Destination, d.Name, d.Rule))
		}
	}
	return all
}
