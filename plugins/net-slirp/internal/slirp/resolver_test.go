package slirp

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

var resolver = netip.AddrPortFrom(wiretest.DNSIP, dnsPort)

// upstream is a resolver on the host's loopback that knows the addresses of names.
func upstream(t *testing.T, zone func(name string) string) func() []netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			if addr := zone(m.Questions[0].Name.String()); addr != "" {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteToUDPAddrPort(out, from)
			}
		}
	}()
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return func() []netip.AddrPort { return []netip.AddrPort{at} }
}

// newPolicedWorld is a guest under a policy, with a resolver on the host that knows every name, at one address.
func newPolicedWorld(t *testing.T, p network.Policy, addr string) *world {
	t.Helper()
	return newZonedWorld(t, p, func(string) string { return addr })
}

func newZonedWorld(t *testing.T, p network.Policy, zone func(name string) string) *world {
	t.Helper()
	spec := wiretest.Layout()
	spec.Policy = p
	spec.Services = []network.Service{{Name: "ollama", Guest: at(0), TCPAddress: "127.0.0.1:9"}}
	n := newNetwork(t)
	n.opt.Resolvers = upstream(t, zone)
	return &world{Guest: wiretest.Attach(t, n, spec), net: n, spec: spec}
}

// denials watches the events and returns what waits for the next denial, which must be by a rule.
func (w *world) denials() (expect func(what, rule string)) {
	next := w.denied()
	return func(what, rule string) {
		w.T.Helper()
		if e := next(); e.Rule != rule {
			w.T.Errorf("%s: %+v; want a denial by %s", what, e, rule)
		}
	}
}

// denied watches the events and returns what waits for the next denial.
func (w *world) denied() (next func() network.Event) {
	t := w.T
	ctx, cancel := context.WithCancel(t.Context())
	denied, begun := make(chan network.Event, 1000), make(chan struct{})
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		_ = w.net.Watch(ctx, func(e network.Event) error {
			switch e.Kind {
			case network.Watching:
				close(begun)
			case network.Denied:
				denied <- e
			}
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-watching })
	<-begun
	return func() network.Event {
		t.Helper()
		select {
		case e := <-denied:
			return e
		case <-time.After(20 * time.Second):
			t.Fatal("no denial")
		}
		return network.Event{}
	}
}

func ask(t *testing.T, name string) string {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// answer reads a code and the first address.
func answer(t *testing.T, b []byte) (dnsmessage.RCode, string) {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil || m.ID != 7 {
		t.Fatalf("no answer: %v", err)
	}
	if len(m.Answers) == 0 {
		return m.RCode, ""
	}
	return m.RCode, netip.AddrFrom4(m.Answers[0].Body.(*dnsmessage.AResource).A).String()
}

var onlyExample = network.Policy{RestrictNames: true, Rules: []network.Rule{{Origin: "agent.hcl:3", Action: network.Allow, Domain: "a.example"}}}

func TestResolver(t *testing.T) {
	w := newPolicedWorld(t, onlyExample, "198.51.100.1")
	from := addrPort(wiretest.GuestIP, 5353)
	for _, c := range []struct {
		name string
		code dnsmessage.RCode
		addr string
	}{
		{"a.example.", dnsmessage.RCodeSuccess, "198.51.100.1"}, {"ollama.", dnsmessage.RCodeSuccess, wiretest.GatewayIP.String()},
		{"b.example.", dnsmessage.RCodeNameError, ""},
	} {
		w.Send(wiretest.UDP{From: from, To: resolver, Payload: []byte(ask(t, c.name))})
		p := w.Expect("an answer for "+c.name, wiretest.IsUDP, wiretest.Between(resolver, from))
		if code, addr := answer(t, p.Payload); code != c.code || addr != c.addr {
			t.Errorf("%s: %v %s", c.name, code, addr)
		}
	}
	if n := w.stat("dns.asked"); n != 1 {
		t.Errorf("%d names were carried out", n)
	}
}

func TestResolverOverTCP(t *testing.T) {
	w := newPolicedWorld(t, onlyExample, "198.51.100.1")
	c := w.Dial(resolver)
	question := ask(t, "a.example.")
	c.Send(string(binary.BigEndian.AppendUint16(nil, uint16(len(question)))) + question)
	const record = 16 // an address, by a pointer to the question's name
	framed := c.ExpectBytes(2 + len(question) + record)
	if code, addr := answer(t, []byte(framed[2:])); code != 0 || addr != "198.51.100.1" {
		t.Errorf("%v %s", code, addr)
	}
}

// What is denied is answered at once, and logged with its rule.
func TestDenied(t *testing.T) {
	w := newPolicedWorld(t, onlyExample, "198.51.100.1")
	expect := w.denials()
	for _, c := range []struct{ to, rule string }{
		{"198.51.100.1:443", policy.RuleDefault}, // not looked up yet
		{"8.8.8.8:53", policy.RuleResolver},
		{"8.8.8.8:853", policy.RuleResolver},
		{"169.254.169.254:80", policy.RuleMetadata},
		{"192.168.0.1:80", policy.RulePrivate},
		{"10.0.2.2:22", policy.RuleGateway},
		{"10.0.2.77:22", policy.RuleGateway},
	} {
		w.Open(netip.MustParseAddrPort(c.to)).ExpectReset()
		expect(c.to, c.rule)
	}
	from := addrPort(wiretest.GuestIP, 5353)
	for _, c := range []struct{ to, rule string }{{"8.8.8.8:443", policy.RuleResolver}, {"8.8.8.8:53", policy.RuleResolver}, {"198.51.100.1:9", policy.RuleDefault}} {
		w.Send(wiretest.UDP{From: from, To: netip.MustParseAddrPort(c.to), Payload: []byte("x")})
		expect("udp "+c.to, c.rule)
	}
	w.Send(wiretest.UDP{From: from, To: resolver, Payload: []byte(ask(t, "evil.example."))})
	expect("a name", policy.RuleDefault)

	// Once it is looked up, the guest is let in to say whom it means, and that must be the name.
	w.Send(wiretest.UDP{From: from, To: resolver, Payload: []byte(ask(t, "a.example."))})
	w.Expect("an answer", wiretest.IsUDP, wiretest.Between(resolver, from), func(p *wiretest.Packet) bool { c, a := answer(t, p.Payload); return c == 0 && a != "" })
	for what, first := range map[string]string{
		"another host":   "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
		"no host":        "GET / HTTP/1.1\r\n\r\n",
		"another tongue": "SSH-2.0-x\r\n",
		"a tunnel":       "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"half a hello":   "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\x15",
	} {
		c := w.Dial(netip.MustParseAddrPort("198.51.100.1:80"))
		c.Send(first)
		c.ExpectReset()
		expect(what, policy.RuleName)
	}
}
