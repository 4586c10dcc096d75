package slirp

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/taplink"
	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Hosts of an Internet of our own, and the host's address in it.
const (
	theHost   = "203.0.113.1"
	goodHost  = "203.0.113.10" // a.example, and shared.example that nobody may reach
	evilHost  = "203.0.113.11"
	innerTest = "VOIDBOX_TEST_IN_NAMESPACE"
)

// TestEgress runs the tests below in namespaces of their own, where any address can be a server's.
func TestEgress(t *testing.T) {
	if os.Getenv(innerTest) != "" {
		t.Skip("this is the inside")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInside", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), innerTest+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		unavailable(t, "no namespaces here: %v", err)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestInside")) {
		t.Fatalf("%v\n%s", err, out)
	}
}

// seen is what servers got, by the address and port that it came to.
type seen struct {
	mu    sync.Mutex
	grown sync.Cond
	bytes map[string]string
}

func (s *seen) add(at, b string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes[at] += b
	s.grown.Broadcast()
}

// await waits for at least n bytes, and takes them.
func (s *seen) await(t *testing.T, at string, n int) string {
	t.Helper()
	hang := time.AfterFunc(time.Minute, func() { panic(fmt.Sprintf("%s: %d bytes did not come to %s", t.Name(), n, at)) })
	defer hang.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.bytes[at]) < n {
		s.grown.Wait()
	}
	b := s.bytes[at]
	delete(s.bytes, at)
	return b
}

func (s *seen) take(at string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bytes[at]
	delete(s.bytes, at)
	return b
}

// internet connects the namespace with another, in which servers answer each request and each hello with "ok".
func internet(t *testing.T) *seen {
	t.Helper()
	home, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	up := func(h *netlink.Handle, name string, addrs ...string) {
		t.Helper()
		dev, err := h.LinkByName(name)
		must(err)
		for _, a := range addrs {
			must(h.AddrAdd(dev, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(a).To4(), Mask: net.CIDRMask(24, 32)}}))
		}
		must(h.LinkSetUp(dev))
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "here"
	must(home.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "there"}))
	up(home, "lo")
	up(home, "here", theHost)
	got := &seen{bytes: make(map[string]string)}
	got.grown.L = &got.mu
	must(taplink.InNamespace("", func() error {
		ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			return err
		}
		t.Cleanup(func() { ns.Close() }) // it lives until then
		peer, err := home.LinkByName("there")
		must(err)
		must(home.LinkSetNsFd(peer, int(ns.Fd())))
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		must(err)
		defer h.Close()
		up(h, "lo")
		up(h, "there", goodHost, evilHost)
		for _, at := range []string{goodHost + ":80", goodHost + ":443", evilHost + ":80", evilHost + ":443"} {
			l, err := net.Listen("tcp", at)
			must(err)
			serveOK(t, l, got)
		}
		return nil
	}))
	l, err := net.Listen("tcp", theHost+":80") // the host's own, which nobody may reach
	must(err)
	serveOK(t, l, got)
	return got
}

// serveOK notes what comes and says "ok" to each read.
func serveOK(t *testing.T, l net.Listener, got *seen) {
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				b := make([]byte, 64<<10)
				for {
					n, err := conn.Read(b)
					if err != nil {
						return
					}
					got.add(l.Addr().String(), string(b[:n]))
					if _, err := conn.Write([]byte("ok")); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
}

// hello is what a TLS client says first.
func hello(t *testing.T, name string) string {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(client, &tls.Config{ServerName: name}).HandshakeContext(t.Context())
		client.Close()
	}()
	b := make([]byte, 16<<10)
	n, err := server.Read(b)
	server.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func get(host string) string { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }

// send sends bytes in segments that fit the MTU.
func send(c *wiretest.Conn, b string) {
	const segment = 1000
	for len(b) > segment {
		c.Send(b[:segment])
		b = b[segment:]
	}
	c.Send(b)
}

// TestInsideEgress is a guest's attempts to get around a policy that lets it reach a.example only.
func TestInsideEgress(t *testing.T) {
	if os.Getenv(innerTest) == "" {
		t.Skip("TestEgress runs this in namespaces")
	}
	got := internet(t)
	addrs := map[string]string{"a.example.": goodHost, "b.example.": evilHost, "inward.a.example.": "10.1.1.1", "home.a.example.": theHost}
	w := newZonedWorld(t, network.Policy{RestrictNames: true, Rules: []network.Rule{
		{Origin: "agent.hcl:3", Action: network.Allow, Domain: "a.example", Protocols: []network.Protocol{network.TCP}},
		{Origin: "agent.hcl:4", Action: network.Allow, Domain: "*.a.example", Protocols: []network.Protocol{network.TCP}},
	}}, func(name string) string { return addrs[name] })
	denied := w.denials()
	web, tlsWeb := netip.MustParseAddrPort(goodHost+":80"), netip.MustParseAddrPort(goodHost+":443")

	// Nothing was looked up yet.
	w.Open(tlsWeb).ExpectReset()
	denied("an address without its name", policy.RuleDefault)

	w.lookUp("a.example.", goodHost)
	w.lookUp("b.example.", "")
	denied("a name", policy.RuleDefault)
	w.lookUp("inward.a.example.", "")
	denied("a name that leads inward", policy.RulePrivate)
	w.lookUp("home.a.example.", "")
	denied("a name that leads to the host", policy.RuleHost)

	t.Run("allowed", func(t *testing.T) {
		c := w.Dial(web)
		for range 3 { // on one connection
			c.Send(get("a.example"))
			if c.ExpectBytes(2) != "ok" {
				t.Error("no answer")
			}
		}
		if b := got.take(web.String()); b != strings.Repeat(get("a.example"), 3) {
			t.Errorf("the server got %q", b)
		}
		first := hello(t, "a.example")
		c = w.Dial(tlsWeb)
		c.Send(first[:7])
		c.ExpectAck()
		c.Send(first[7:100])
		c.ExpectAck()
		if b := got.take(tlsWeb.String()); b != "" {
			t.Errorf("the server got %d bytes before the name was there", len(b))
		}
		send(c, first[100:])
		if b := got.await(t, tlsWeb.String(), len(first)); b != first {
			t.Errorf("the server got other %d bytes than the hello's %d", len(b), len(first))
		}
	})

	for _, c := range []struct {
		what   string
		to     netip.AddrPort
		pieces []string // the last is refused
		server string   // what it got of requests; of hellos, whether it got any
	}{
		{"the name of another", tlsWeb, []string{hello(t, "b.example")}, ""},
		{"a name that shares the address", tlsWeb, []string{hello(t, "shared.example")}, ""},
		{"a name below that was not looked up", tlsWeb, []string{hello(t, "x.a.example")}, ""},
		{"another host", web, []string{get("b.example")}, ""},
		{"an address for a host", web, []string{get(goodHost)}, ""},
		{"no host", web, []string{"GET / HTTP/1.0\r\n\r\n"}, ""},
		{"another protocol", web, []string{"SSH-2.0-x\r\n"}, ""},
		{"HTTP/2 without TLS", web, []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, ""},
		{"a tunnel", web, []string{"CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n"}, ""},
		{"a second host", web, []string{get("a.example"), get("b.example")}, get("a.example")},
		{"a second host behind a body", web, []string{"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\n", "x" + get("b.example")}, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\n"},
		{"a request that is two for some", web, []string{"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}, ""},
		{"a tunnel on a kept connection", web, []string{get("a.example"), "CONNECT b.example:443 HTTP/1.1\r\n"}, get("a.example")},
		{"a second hello", tlsWeb, []string{hello(t, "a.example"), hello(t, "b.example")}, "a hello"},
	} {
		t.Run(c.what, func(t *testing.T) {
			conn := w.Dial(c.to)
			for _, piece := range c.pieces[:len(c.pieces)-1] {
				send(conn, piece)
				conn.ExpectBytes(2)
			}
			send(conn, c.pieces[len(c.pieces)-1])
			conn.ExpectReset()
			denied(c.what, policy.RuleName)
			b := got.take(c.to.String())
			if c.to == web && b != c.server {
				t.Errorf("the server got %q", b)
			}
			if whole := len(strings.Join(c.pieces, "")); c.to == tlsWeb && (len(b) >= whole || c.server == "" && b != "") {
				t.Errorf("the server got %d bytes of %d", len(b), whole) // a part of a hello is none
			}
		})
	}
	for what, c := range map[string]struct{ to, rule string }{
		"another address":            {evilHost + ":443", policy.RuleDefault},
		"the host's address":         {theHost + ":80", policy.RuleHost},
		"the metadata server":        {"169.254.169.254:80", policy.RuleMetadata},
		"link-local":                 {"169.254.1.1:80", policy.RuleLinkOnly},
		"a neighbour":                {"10.1.1.1:80", policy.RulePrivate},
		"the gateway":                {"10.0.2.2:22", policy.RuleGateway},
		"the gateway by its service": {"10.0.2.2:80", policy.RuleGateway},
		"the resolver":               {"10.0.2.3:80", policy.RuleGateway},
		"the guest's network":        {"10.0.2.77:80", policy.RuleGateway},
		"loopback":                   {"127.0.0.1:80", policy.RuleMartian},
		"nothing":                    {"0.0.0.0:80", policy.RuleMartian},
		"IPv4 in IPv6":               {"[::ffff:203.0.113.11]:80", policy.RuleMartian},
		"IPv4 behind a translator":   {"[64:ff9b::cb00:710b]:80", policy.RuleTranslated},
		"IPv4 behind a tunnel":       {"[2002:cb00:710b::1]:80", policy.RuleTranslated},
		"another resolver":           {evilHost + ":53", policy.RuleResolver},
		"DNS over TLS":               {evilHost + ":853", policy.RuleResolver},
		"DNS over TLS at a good one": {goodHost + ":853", policy.RuleResolver},
	} {
		w.Open(netip.MustParseAddrPort(c.to))
		denied(what, c.rule)
	}
	for what, c := range map[string]struct{ to, rule string }{
		"QUIC":                     {goodHost + ":443", policy.RuleResolver},
		"another resolver by UDP":  {evilHost + ":53", policy.RuleResolver},
		"DNS over QUIC":            {evilHost + ":853", policy.RuleResolver},
		"any UDP":                  {goodHost + ":9", policy.RuleDefault},
		"multicast":                {"224.0.0.251:5353", policy.RuleMartian},
		"broadcast":                {"255.255.255.255:137", policy.RuleMartian},
		"broadcast of the network": {"10.0.2.255:137", policy.RuleGateway},
	} {
		w.Send(wiretest.UDP{From: addrPort(wiretest.GuestIP, 9), To: netip.MustParseAddrPort(c.to), Payload: []byte("x")})
		denied(what, c.rule)
	}
	for what, to := range map[string]string{"a tunnel of pings": goodHost, "pings elsewhere": evilHost} {
		w.Send(wiretest.Echo{From: wiretest.GuestIP, To: netip.MustParseAddr(to), Payload: []byte("data")})
		denied(what, policy.RuleDefault)
	}
	w.lookUp("data-that-leaves.b.example.", "")
	denied("a tunnel of lookups", policy.RuleDefault)
	w.askTCP(resolver, "data-that-leaves.b.example.")
	denied("a tunnel of lookups over TCP", policy.RuleDefault)
	for _, at := range []string{evilHost + ":80", evilHost + ":443", theHost + ":80"} {
		if b := got.take(at); b != "" {
			t.Errorf("%s got %q", at, b)
		}
	}

	// An address that the host got after the policy was made is its own all the same.
	t.Run("a new address of the host", func(t *testing.T) {
		w := newZonedWorld(t, network.Policy{Default: network.Allow}, func(string) string { return "" })
		w.net.att.policy.SetHost(nil)
		denied := w.denials()
		w.Open(netip.MustParseAddrPort(theHost + ":80")).ExpectReset()
		denied("TCP", policy.RuleHost)
		w.net.att.policy.SetHost(nil)
		w.Send(wiretest.UDP{From: addrPort(wiretest.GuestIP, 9), To: netip.MustParseAddrPort(theHost + ":9"), Payload: []byte("x")})
		denied("UDP", policy.RuleHost)
		w.Dial(web).Send("x") // and other addresses are not
	})

	t.Run("limits", func(t *testing.T) {
		w := newZonedWorld(t, network.Policy{Default: network.Allow, Limits: network.Limits{TotalBytes: 1000, Connections: 2}}, func(string) string { return "" })
		denied := w.denials()
		c := w.Dial(web)
		w.Dial(web)
		w.Open(web).ExpectReset()
		denied("a third connection", policy.RuleConnections)
		c.Send(strings.Repeat("x", 990))
		c.ExpectBytes(2)
		c.Send(strings.Repeat("x", 20))
		c.ExpectReset()
		denied("too many bytes", policy.RuleTotal)
		if b := got.take(web.String()); len(b) > 1000 {
			t.Errorf("the server got %d bytes", len(b))
		}
	})
}

// lookUp asks the resolver and wants an address, or none.
func (w *world) lookUp(name, addr string) {
	w.T.Helper()
	t := w.T.(*testing.T)
	from := addrPort(wiretest.GuestIP, 5353)
	w.Send(wiretest.UDP{From: from, To: resolver, Payload: []byte(ask(t, name))})
	p := w.Expect("an answer for "+name, wiretest.IsUDP, wiretest.Between(resolver, from))
	if _, got := answer(t, p.Payload); got != addr {
		t.Errorf("%s is at %q; want %q", name, got, addr)
	}
}

// askTCP asks a resolver over TCP.
func (w *world) askTCP(at netip.AddrPort, name string) {
	w.T.Helper()
	question := ask(w.T.(*testing.T), name)
	w.Dial(at).Send(string([]byte{0, byte(len(question))}) + question)
}
