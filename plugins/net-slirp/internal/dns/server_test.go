package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/sniff"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// bench is a server with its surroundings.
type bench struct {
	*Server
	t      *testing.T
	policy *policy.Evaluator

	mu     sync.Mutex
	now    time.Time
	denied []string
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bench) denials() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.denied)
}

var guest = netip.MustParseAddrPort("10.0.2.15:4000")

func newServer(t *testing.T, p network.Policy, upstreams ...netip.AddrPort) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Unix(1000, 0)}
	var err error
	b.policy, err = policy.New(policy.Config{
		Services: []network.Service{{Name: "ollama", Guest: netip.MustParseAddrPort("10.0.2.2:11434"), TCPAddress: "127.0.0.1:1"}},
		Gateway:  []netip.Addr{netip.MustParseAddr("10.0.2.2")}, DNS: []netip.Addr{netip.MustParseAddr("10.0.2.3")},
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24")}, Host: []netip.Addr{netip.MustParseAddr("203.0.113.7")}, Now: b.clock,
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	b.Server = New(Config{
		Policy: b.policy, Servers: func() []netip.AddrPort { return upstreams }, Now: b.clock,
		Denied: func(from netip.AddrPort, v policy.Verdict) {
			if from != guest {
				t.Errorf("a denial for %v", from)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.denied = append(b.denied, v.Name+" by "+v.Rule)
		},
	})
	t.Cleanup(b.Close)
	return b
}

// message makes a question, with EDNS if size is not 0.
func message(id uint16, name string, typ dnsmessage.Type, size int) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}},
	}
	if size > 0 {
		var h dnsmessage.ResourceHeader
		_ = h.SetEDNS0(size, 0, false)
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// asks sends a question over UDP and waits for the answer.
func (b *bench) asks(name string, typ dnsmessage.Type, size int) dnsmessage.Message {
	b.t.Helper()
	answered := make(chan []byte, 1)
	b.ServeUDP(guest, message(77, name, typ, size), func(msg []byte) { answered <- msg })
	return b.parse(<-answered, 77, name)
}

func (b *bench) parse(msg []byte, id uint16, name string) dnsmessage.Message {
	b.t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(msg); err != nil {
		b.t.Fatal(err)
	}
	if m.ID != id || !m.Response || !m.RecursionAvailable || len(m.Questions) != 1 || m.Questions[0].Name.String() != name {
		b.t.Fatalf("%s: %+v is no answer", name, m.Header)
	}
	return m
}

// says writes an answer in one line.
func says(m dnsmessage.Message) string {
	parts := []string{strings.TrimPrefix(m.RCode.String(), "RCode")}
	if m.Truncated {
		parts = append(parts, "truncated")
	}
	for _, r := range m.Answers {
		var value string
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			value = netip.AddrFrom4(body.A).String()
		case *dnsmessage.AAAAResource:
			value = netip.AddrFrom16(body.AAAA).String()
		case *dnsmessage.CNAMEResource:
			value = body.CNAME.String()
		case *dnsmessage.TXTResource:
			value = body.TXT[0]
		case *dnsmessage.HTTPSResource:
			value = fmt.Sprintf("%d parameters", len(body.Params))
		}
		parts = append(parts, fmt.Sprintf("%d %s", r.Header.TTL, value))
	}
	return strings.Join(parts, ", ")
}

func (b *bench) expect(name string, typ dnsmessage.Type, want string) {
	b.t.Helper()
	if got := says(b.asks(name, typ, 0)); got != want {
		b.t.Errorf("%v %s: %s; want %s", typ, name, got, want)
	}
}

var open = network.Policy{Default: network.Allow}

// only allows names.
func only(domains ...string) network.Policy {
	p := network.Policy{RestrictNames: true}
	for _, d := range domains {
		p.Rules = append(p.Rules, network.Rule{Origin: "allow " + d, Action: network.Allow, Domain: d})
	}
	return p
}

func TestAnswers(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 A 1.2.3.4", "a.example. 30 A 1.2.3.5", "other.example. 60 A 6.6.6.6")
	up.has("AAAA a.example.", "a.example. 60 AAAA 2606::1")
	up.has("A www.example.", "www.example. 300 CNAME Cdn.Example.", "cdn.example. 20 A 1.2.3.4", "stray.example. 20 A 6.6.6.6")
	up.has("A loop.example.", "loop.example. 60 CNAME loop.example.")
	up.has("TXT a.example.", "a.example. 60 TXT hello")
	up.has("HTTPS a.example.", "a.example. 60 HTTPS 10.0.0.1")
	up.set("A gone.example.", zoneEntry{code: dnsmessage.RCodeNameError, authority: []dnsmessage.Resource{record("example. 900 SOA")}})
	up.has("MX a.example.")
	b := newServer(t, open, up.addr)
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 1.2.3.4, 30 1.2.3.5")
	b.expect("A.eXample.", dnsmessage.TypeA, "Success, 60 1.2.3.4, 30 1.2.3.5")
	b.expect("a.example.", dnsmessage.TypeAAAA, "Success, 60 2606::1")
	b.expect("www.example.", dnsmessage.TypeA, "Success, 300 Cdn.Example., 20 1.2.3.4")
	b.expect("a.example.", dnsmessage.TypeTXT, "Success, 60 hello")
	b.expect("a.example.", dnsmessage.TypeHTTPS, "Success, 60 0 parameters")
	b.expect("a.example.", dnsmessage.TypeMX, "Success")
	b.expect("gone.example.", dnsmessage.TypeA, "NameError")
	b.expect("a.example.", dnsmessage.TypeALL, "NotImplemented")
	b.expect("a.example.", dnsmessage.TypeAXFR, "NotImplemented")
	b.expect("localhost.", dnsmessage.TypeA, "Success, 60 127.0.0.1")
	b.expect("localhost.", dnsmessage.TypeAAAA, "Success, 60 ::1")
	b.expect("printer.local.", dnsmessage.TypeA, "NameError")
	b.expect("1.2.3.4.", dnsmessage.TypeA, "NameError")
	b.expect("ollama.", dnsmessage.TypeA, "Success, 60 10.0.2.2")
	b.expect("OLLAMA.", dnsmessage.TypeAAAA, "Success")
	if m := b.asks("gone.example.", dnsmessage.TypeA, 0); len(m.Authorities) != 1 {
		t.Errorf("a negative answer lacks its authority: %+v", m)
	}
	if m := b.asks("loop.example.", dnsmessage.TypeA, 0); len(m.Answers) > maxAliases {
		t.Errorf("a loop has %d links", len(m.Answers))
	}
}

func TestCache(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 A 1.2.3.4")
	up.has("A now.example.", "now.example. 0 A 1.2.3.4")
	up.set("A gone.example.", zoneEntry{code: dnsmessage.RCodeNameError, authority: []dnsmessage.Resource{record("example. 30 SOA")}})
	b := newServer(t, open, up.addr)
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 1.2.3.4")
	b.expect("gone.example.", dnsmessage.TypeA, "NameError")
	b.pass(20 * time.Second)
	b.expect("a.example.", dnsmessage.TypeA, "Success, 40 1.2.3.4")
	b.expect("gone.example.", dnsmessage.TypeA, "NameError")
	if n := up.asked.Load(); n != 2 {
		t.Errorf("upstream was asked %d times", n)
	}
	b.pass(40 * time.Second)
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 1.2.3.4")
	b.expect("gone.example.", dnsmessage.TypeA, "NameError")
	if n := up.asked.Load(); n != 4 {
		t.Errorf("upstream was asked %d times", n)
	}
	b.expect("now.example.", dnsmessage.TypeA, "Success, 0 1.2.3.4")
	b.expect("now.example.", dnsmessage.TypeA, "Success, 0 1.2.3.4")
	if n := up.asked.Load(); n != 6 {
		t.Errorf("upstream was asked %d times", n)
	}
}

// Small answers and the greatest, by what they take in memory.
func TestCacheIsBounded(t *testing.T) {
	large := &answer{ttl: time.Hour, length: 1<<16 - 1, records: make([]dnsmessage.Resource, maxRecords)}
	for name, a := range map[string]*answer{"small": {ttl: time.Hour}, "large": large} {
		var c cache
		now := time.Unix(0, 0)
		for i := range 2 * maxCached / a.size() {
			k := key{fmt.Sprint(i), dnsmessage.TypeA}
			c.put(k, a, now)
			c.put(k, a, now) // again, which takes no more
			if got, _ := c.get(k, now); got == nil {
				t.Fatalf("%s: answer %d is not kept", name, i)
			}
		}
		if kept := len(c.answers) * a.size(); kept > maxCached || kept < maxCached/2 || kept != c.size {
			t.Errorf("%s: %d answers of %d bytes are kept, %d bytes by its own account", name, len(c.answers), a.size(), c.size)
		}
		later := now.Add(2 * time.Hour)
		for i := range 100 {
			c.get(key{fmt.Sprint(i), dnsmessage.TypeA}, later)
		}
		c.makeRoom(later)
		if len(c.answers) != 0 || c.size != 0 {
			t.Errorf("%s: %d answers are left when all have ended, %d bytes by its own account", name, len(c.answers), c.size)
		}
	}
}

func TestPolicyComesFirst(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 A 9.9.9.9")
	up.has("HTTPS a.example.", "a.example. 60 HTTPS 9.9.9.9")
	b := newServer(t, only("a.example"), up.addr)
	b.expect("secret-bytes.evil.example.", dnsmessage.TypeA, "NameError")
	b.expect("evil.example.", dnsmessage.TypeTXT, "NameError")
	b.expect("use-application-dns.net.", dnsmessage.TypeA, "NameError")
	b.expect("a.example.", dnsmessage.TypeHTTPS, "Success")
	if n := up.asked.Load(); n != 0 {
		t.Errorf("upstream was asked %d times for what is denied", n)
	}
	if got := b.denials(); !slices.Equal(got, []string{"secret-bytes.evil.example by " + policy.RuleDefault, "evil.example by " + policy.RuleDefault}) {
		t.Errorf("denials: %q", got)
	}
	flow := policy.Flow{Protocol: network.TCP, Destination: netip.MustParseAddrPort("9.9.9.9:443")}
	hello := sniff.Result{Protocol: sniff.TLS, Name: "a.example"}
	if v := b.policy.DecideNamed(flow, hello); v.Allow {
		t.Errorf("before it was looked up: %+v", v)
	}
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 9.9.9.9")
	if v := b.policy.DecideNamed(flow, hello); !v.Allow {
		t.Errorf("after it was looked up: %+v", v)
	}
	b.pass(59 * time.Second)
	b.expect("a.example.", dnsmessage.TypeA, "Success, 1 9.9.9.9") // from the cache, and learned for no longer than that
	b.pass(15 * time.Second)
	if v := b.policy.DecideNamed(flow, hello); v.Allow {
		t.Errorf("after its time to live: %+v", v)
	}
}

func TestRebinding(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 A 127.0.0.1", "a.example. 60 A 192.168.1.1", "a.example. 60 A 8.8.8.8", "a.example. 60 A 169.254.169.254",
		"a.example. 60 A 203.0.113.7", "a.example. 60 A 10.0.2.2", "a.example. 60 A 0.0.0.0", "a.example. 60 A 10.5.0.1")
	up.has("AAAA a.example.", "a.example. 60 AAAA ::1", "a.example. 60 AAAA ::ffff:127.0.0.1", "a.example. 60 AAAA fe80::1", "a.example. 60 AAAA fc00::1")
	up.has("A b.example.", "b.example. 60 CNAME inside.example.", "inside.example. 60 A 192.168.1.1")
	p := only("*.example")
	p.Rules = append(p.Rules, network.Rule{Origin: "inside", Action: network.Allow, CIDR: netip.MustParsePrefix("10.5.0.0/16")})
	b := newServer(t, p, up.addr)
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 8.8.8.8, 60 10.5.0.1")
	b.expect("a.example.", dnsmessage.TypeAAAA, "Success")
	b.expect("b.example.", dnsmessage.TypeA, "Success, 60 inside.example.")
	for _, addr := range []string{"127.0.0.1", "192.168.1.1", "10.0.2.2"} {
		f := policy.Flow{Protocol: network.TCP, Destination: netip.AddrPortFrom(netip.MustParseAddr(addr), 80)}
		if v := b.policy.DecideNamed(f, sniff.Result{Protocol: sniff.HTTP, Name: "a.example"}); v.Allow {
			t.Errorf("%s: %+v", addr, v)
		}
	}
	if got := b.denials(); !slices.Contains(got, "a.example by "+policy.RuleHost) || !slices.Contains(got, "b.example by "+policy.RulePrivate) {
		t.Errorf("denials: %q", got)
	}
}

func TestAliasToADeniedName(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 CNAME evil.test.", "evil.test. 60 A 9.9.9.9")
	p := network.Policy{RestrictNames: true, Rules: []network.Rule{
		{Origin: "deny evil", Domain: "evil.test"}, {Origin: "all", Action: network.Allow, Any: true},
	}}
	b := newServer(t, p, up.addr)
	b.expect("a.example.", dnsmessage.TypeA, "NameError")
	if got := b.denials(); !slices.Equal(got, []string{"a.example by deny evil"}) {
		t.Errorf("denials: %q", got)
	}
}

// What was cached under one policy is judged under the next.
func TestCacheUnderAnotherPolicy(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 CNAME cdn.test.", "cdn.test. 60 A 9.9.9.9")
	b := newServer(t, open, up.addr)
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 cdn.test., 60 9.9.9.9")
	p := network.Policy{Rules: []network.Rule{{Origin: "deny cdn", Domain: "cdn.test"}, {Origin: "all", Action: network.Allow, Any: true}}}
	if err := b.policy.Update(p); err != nil {
		t.Fatal(err)
	}
	b.expect("a.example.", dnsmessage.TypeA, "NameError")
}

func TestReverse(t *testing.T) {
	up := newUpstream(t)
	up.has("PTR 8.8.8.8.in-addr.arpa.", "8.8.8.8.in-addr.arpa. 60 CNAME dns.example.")
	b := newServer(t, open, up.addr)
	for _, name := range []string{
		"1.1.168.192.in-addr.arpa.", "168.192.in-addr.arpa.", "1.0.0.127.in-addr.arpa.", "_dns.resolver.arpa.",
		strings.Repeat("0.", 30) + "c.f.ip6.arpa.", "1." + strings.Repeat("0.", 27) + "0.8.e.f.ip6.arpa.",
	} {
		b.expect(name, dnsmessage.TypePTR, "NameError")
	}
	if n := up.asked.Load(); n != 0 {
		t.Errorf("upstream was asked %d times for private names", n)
	}
	b.expect("8.8.8.8.in-addr.arpa.", dnsmessage.TypePTR, "Success, 60 dns.example.")
}

// A question for what is no host name is no way out either, and is told of in letters that a line can hold.
func TestNamesThatAreNone(t *testing.T) {
	b := newServer(t, open, newUpstream(t).addr)
	for _, name := range []string{"w\u0435b.example.", "\xff\x00.example.", "a b.example.", "1.2.3.4.", "-a.example.", "."} {
		b.expect(name, dnsmessage.TypeA, "NameError")
	}
	var told []string
	for _, name := range []string{`w\u0435b.example`, `\xff\x00.example`, "a b.example", "1.2.3.4", "-a.example"} {
		told = append(told, name+" by "+policy.RuleName)
	}
	if got := b.denials(); !slices.Equal(got, told) {
		t.Errorf("denials: %q; want %q", got, told)
	}
}
