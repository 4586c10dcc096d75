package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/sniff"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// tlsTo is what a client's hello for a name says.
func tlsTo(name string) sniff.Result { return sniff.Result{Protocol: sniff.TLS, Name: name} }

// Ways around rules that name domains. pypi.org is at 9.9.9.9, and so is cdn.example, which nobody looked up.
func TestNames(t *testing.T) {
	only := rules("+*.pypi.org:443", "+pypi.org:443", "+pypi.org:80", "+1.2.3.0/24:22")
	deny := rules("-evil.example", "-*.evil.example", "+1.2.3.0/24:22", "+*")
	hidden := sniff.Result{Protocol: sniff.TLS, Problem: "encrypted hello"}
	for _, c := range []struct {
		what   string
		policy network.Policy
		flow   string
		first  sniff.Result
		allow  bool
		rule   string
	}{
		{"the name at its address", only, "tcp 9.9.9.9:443", tlsTo("pypi.org"), true, "+pypi.org:443"},
		{"a name below it", only, "tcp 9.9.9.9:443", tlsTo("files.pypi.org"), true, "+*.pypi.org:443"},
		{"HTTP", only, "tcp 9.9.9.9:80", sniff.Result{Protocol: sniff.HTTP, Name: "pypi.org"}, true, "+pypi.org:80"},
		{"a prefix beside names, without a name", only, "tcp 1.2.3.4:22", sniff.Result{}, true, "+1.2.3.0/24:22"},

		{"an address that was not looked up", only, "tcp 8.8.8.8:443", tlsTo("pypi.org"), false, RuleDefault},
		{"the name of one host with another's hello", only, "tcp 9.9.9.9:443", tlsTo("evil.example"), false, RuleName},
		{"a name that shares the address", only, "tcp 9.9.9.9:443", tlsTo("cdn.example"), false, RuleName},
		{"a name below that was not looked up", only, "tcp 9.9.9.9:443", tlsTo("other.pypi.org"), false, RuleName},
		{"a name that ends alike", only, "tcp 9.9.9.9:443", tlsTo("notpypi.org"), false, RuleName},
		{"no name", only, "tcp 9.9.9.9:443", sniff.Result{Problem: "no server name"}, false, RuleName},
		{"an encrypted hello", only, "tcp 9.9.9.9:443", hidden, false, RuleName},
		{"neither TLS nor HTTP", only, "tcp 9.9.9.9:443", sniff.Result{}, false, RuleName},
		{"another port", only, "tcp 9.9.9.9:22", tlsTo("pypi.org"), false, RuleDefault},
		{"HTTP for a name that has TLS only", only, "tcp 9.9.9.9:80", tlsTo("files.pypi.org"), false, RuleDefault},
		{"UDP to the address", only, "udp 9.9.9.9:1000", sniff.Result{}, false, RuleDefault},
		{"QUIC", only, "udp 9.9.9.9:443", sniff.Result{}, false, RuleResolver},
		{"another resolver", only, "udp 8.8.8.8:53", sniff.Result{}, false, RuleResolver},
		{"another resolver over TCP", only, "tcp 8.8.8.8:53", sniff.Result{}, false, RuleResolver},
		{"another resolver over TLS", only, "tcp 8.8.8.8:853", sniff.Result{}, false, RuleResolver},
		{"another resolver over QUIC", only, "udp 8.8.8.8:853", sniff.Result{}, false, RuleResolver},
		{"DNS over HTTPS", only, "tcp 8.8.8.8:443", tlsTo("dns.google"), false, RuleDefault},
		{"an ICMP tunnel", only, "icmp 9.9.9.9", sniff.Result{}, false, RuleDefault},
		{"a name that leads to the metadata service", only, "tcp 169.254.169.254:80", sniff.Result{Protocol: sniff.HTTP, Name: "pypi.org"}, false, RuleMetadata},
		{"a name that leads to a neighbour", only, "tcp 192.168.7.7:80", sniff.Result{Protocol: sniff.HTTP, Name: "pypi.org"}, false, RulePrivate},
		{"a name that leads to the host", only, "tcp 203.0.113.7:80", sniff.Result{Protocol: sniff.HTTP, Name: "pypi.org"}, false, RuleHost},
		{"a name that leads to loopback", only, "tcp 127.0.0.1:80", sniff.Result{Protocol: sniff.HTTP, Name: "pypi.org"}, false, RuleHost},
		{"a name that leads to the gateway", only, "tcp 10.0.2.2:443", tlsTo("pypi.org"), false, RuleGateway},

		{"another name than the denied one", deny, "tcp 9.9.9.9:443", tlsTo("pypi.org"), true, "+*"},
		{"a prefix that is allowed", deny, "tcp 1.2.3.4:22", sniff.Result{}, true, "+1.2.3.0/24:22"},
		{"UDP to an address with another name", deny, "udp 9.9.9.9:1000", sniff.Result{}, true, "+*"},
		{"the denied name at another's address", deny, "tcp 9.9.9.9:443", tlsTo("evil.example"), false, RuleName},
		{"the denied name at its address", deny, "tcp 6.6.6.6:443", tlsTo("www.evil.example"), false, "-*.evil.example"},
		{"another name at the denied one's address", deny, "tcp 6.6.6.6:443", tlsTo("pypi.org"), false, RuleName},
		{"the denied one's address without a name", deny, "tcp 6.6.6.6:22", sniff.Result{}, false, RuleName},
		{"UDP to an address without a name", deny, "udp 7.7.7.7:1000", sniff.Result{}, false, RuleName},
		{"ping of an address without a name", deny, "icmp 7.7.7.7", sniff.Result{}, false, RuleName},
		{"another resolver, where only one name is denied", deny, "udp 8.8.8.8:53", sniff.Result{}, false, RuleResolver},
	} {
		e, _ := evaluator(t, c.policy)
		for _, name := range []string{"pypi.org", "files.pypi.org"} {
			e.Learn(name, addrs("9.9.9.9", "169.254.169.254", "192.168.7.7", "203.0.113.7", "127.0.0.1", "10.0.2.2"), time.Minute)
		}
		e.Learn("www.evil.example", addrs("6.6.6.6"), time.Minute) // before it was denied
		f := flow(c.flow)
		v := e.Decide(f)
		if v.Allow && f.Protocol == network.TCP && c.rule != "+1.2.3.0/24:22" {
			t.Errorf("%s: allowed without a name: %+v", c.what, v)
		}
		if v.NeedsName {
			v = e.DecideNamed(f, c.first)
			if v.Allow && (v.Guard == nil || v.Name != c.first.Name) {
				t.Errorf("%s: %+v lacks its guard or name", c.what, v)
			}
		}
		if v.Allow != c.allow || v.Rule != c.rule {
			t.Errorf("%s: %+v; want %v by %s", c.what, v, c.allow, c.rule)
		}
	}
}

func TestWhatIsLearnedEnds(t *testing.T) {
	e, c := evaluator(t, rules("+a.example"))
	f := flow("tcp 9.9.9.9:443")
	e.Learn("a.example", addrs("::ffff:9.9.9.9"), 30*time.Second)
	if v := e.DecideNamed(f, tlsTo("a.example")); !v.Allow {
		t.Fatalf("%+v", v)
	}
	c.pass(30*time.Second + learnedGrace)
	if v := e.DecideNamed(f, tlsTo("a.example")); v.Allow || v.NeedsName {
		t.Errorf("after its time to live: %+v", v)
	}
	e.Learn("a.example", addrs("9.9.9.9"), 10*365*24*time.Hour)
	c.pass(maxLearnedTTL + learnedGrace)
	if v := e.DecideNamed(f, tlsTo("a.example")); v.Allow {
		t.Errorf("after a day: %+v", v)
	}
}

func TestLearnedIsBounded(t *testing.T) {
	e, c := evaluator(t, rules("+*.a.example"))
	e.Learn("old.a.example", addrs("1.0.0.1"), time.Second)
	c.pass(time.Hour)
	for i := range maxLearned + 100 {
		e.Learn("x.a.example", []netip.Addr{netip.AddrFrom4([4]byte{2, byte(i >> 16), byte(i >> 8), byte(i)})}, time.Minute)
	}
	if n := len(e.known.byAddr); n > maxLearned || n < maxLearned/2 || n != e.known.size {
		t.Errorf("%d addresses are remembered, %d by its own account", n, e.known.size)
	}
	for i := range 2 * maxNamesPerAddr {
		e.Learn(fmt.Sprintf("%d.a.example", i), addrs("3.3.3.3"), time.Minute)
	}
	if n := len(e.known.names(netip.MustParseAddr("3.3.3.3"), c.now)); n != maxNamesPerAddr {
		t.Errorf("%d names of an address are remembered", n)
	}
	if !e.known.has(netip.MustParseAddr("3.3.3.3"), fmt.Sprintf("%d.a.example", 2*maxNamesPerAddr-1), c.now) {
		t.Error("the latest name is forgotten")
	}
}

// Many names of many addresses are no more than many addresses.
func TestLearnedPairsAreBounded(t *testing.T) {
	e, _ := evaluator(t, rules("+*.a.example"))
	for i := range 1000 {
		a := netip.AddrFrom4([4]byte{2, 0, byte(i >> 8), byte(i)})
		for j := range maxNamesPerAddr {
			e.Learn(fmt.Sprintf("%d.a.example", j), []netip.Addr{a}, time.Hour)
		}
		if !e.known.has(a, "0.a.example", e.now()) {
			t.Fatalf("a name of address %d, the latest, is forgotten", i)
		}
	}
	pairs := 0
	for _, names := range e.known.byAddr {
		pairs += len(names)
	}
	if pairs > maxLearned || pairs < maxLearned/2 || pairs != e.known.size {
		t.Errorf("%d names are remembered, %d by its own account", pairs, e.known.size)
	}
}

// What has ended does not stay until the bound is reached.
func TestWhatIsLearnedAndEndedIsForgotten(t *testing.T) {
	e, c := evaluator(t, rules("+*.a.example"))
	const alive = 100
	for i := range maxLearned {
		e.Learn(fmt.Sprintf("%d.a.example", i), []netip.Addr{netip.AddrFrom4([4]byte{2, 0, byte(i >> 8), byte(i)})}, 0)
		c.pass(learnedGrace / alive)
	}
	if n := len(e.known.byAddr); n > max(leastSweep, 2*alive) {
		t.Errorf("%d addresses are remembered, of which %d count", n, alive)
	}
}

// Many names share an address, and the guest gets an answer out of our cache that is about to end: what is looked up next is no reason to
// forget it before it is used.
func TestOldAnswerOfASharedAddressIsKept(t *testing.T) {
	e, _ := evaluator(t, rules("+*.a.example:443"))
	for i := range maxNamesPerAddr {
		e.Learn(fmt.Sprintf("%d.a.example", i), addrs("9.9.9.9"), time.Minute)
	}
	e.Learn("cached.a.example", addrs("9.9.9.9"), time.Second)
	e.Learn("0.a.example", addrs("9.9.9.9"), time.Second) // again; it was the oldest
	for i := range maxNamesPerAddr / 2 {
		e.Learn(fmt.Sprintf("other%d.a.example", i), addrs("9.9.9.9"), time.Minute)
	}
	for _, name := range []string{"cached.a.example", "0.a.example"} {
		if v := e.DecideNamed(flow("tcp 9.9.9.9:443"), tlsTo(name)); !v.Allow {
			t.Errorf("%s was just looked up, and is denied: %+v", name, v)
		}
	}
	if v := e.DecideNamed(flow("tcp 9.9.9.9:443"), tlsTo("3.a.example")); v.Allow {
		t.Errorf("the oldest of too many names is remembered: %+v", v)
	}
}

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		policy network.Policy
		name   string
		allow  bool
		rule   string
	}{
		{network.Policy{Default: network.Allow}, "a.example", true, RuleDefault},
		{network.Policy{}, "a.example", false, RuleDefault},
		{network.Policy{}, "ollama", true, RuleService},
		{rules("+1.2.3.0/24"), "a.example", false, RuleDefault}, // else names would be a way out
		{rules("+0.0.0.0/0:443"), "a.example", true, "+0.0.0.0/0:443"},
		{rules("+*:443"), "a.example", true, "+*:443"},
		{rules("+a.example:443"), "a.example", true, "+a.example:443"},
		{rules("+a.example:443"), "b.example", false, RuleDefault},
		{rules("+*.a.example"), "a.example", false, RuleDefault},
		{rules("+*.a.example"), "x.y.a.example", true, "+*.a.example"},
		{rules("-x.a.example", "+*.a.example"), "x.a.example", false, "-x.a.example"},
		{rules("-x.a.example:25", "+*.a.example"), "x.a.example", true, "+*.a.example"},
		{rules("-*:25", "+*"), "a.example", true, "+*"},
		{rules("-*", "+a.example"), "a.example", false, "-*"},
	} {
		e, _ := evaluator(t, c.policy)
		if v := e.Lookup(c.name); v.Allow != c.allow || v.Rule != c.rule {
			t.Errorf("%v: %s: %+v; want %v by %s", origins(c.policy), c.name, v, c.allow, c.rule)
		}
	}
}

func TestAlias(t *testing.T) {
	e, _ := evaluator(t, rules("-evil.example", "+a.example"))
	for name, allow := range map[string]bool{"evil.example": false, "cdn.example": true, "a.example": true} {
		if v := e.Alias(name); v.Allow != allow {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestAnswerable(t *testing.T) {
	e, _ := evaluator(t, rules("+*", "+10.5.0.0/16", "+192.168.1.5/32"))
	for text, allow := range map[string]bool{
		"1.2.3.4": true, "2606:4700::1": true, "10.5.1.1": true, "192.168.1.5": true,
		"10.6.1.1": false, "192.168.1.6": false, "127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false,
		"169.254.169.254": false, "100.64.0.1": false, "fc00::1": false, "fe80::1": false, "203.0.113.7": false, "10.0.2.2": false,
		"64:ff9b::7f00:1": false, "::ffff:8.8.8.8": true,
	} {
		if v := e.Answerable(netip.MustParseAddr(text)); v.Allow != allow {
			t.Errorf("%s: %+v", text, v)
		}
	}
}

func TestExplain(t *testing.T) {
	only := rules("+*.pypi.org:443", "-10.9.0.0/16", "+10.0.0.0/8:5432")
	for _, c := range []struct {
		policy network.Policy
		proto  network.Protocol
		host   string
		port   uint16
		action network.Action
		rule   string
	}{
		{only, network.TCP, "files.pypi.org", 443, network.Allow, "+*.pypi.org:443"},
		{only, network.TCP, "Files.PyPI.org.", 443, network.Allow, "+*.pypi.org:443"},
		{only, network.TCP, "files.pypi.org", 80, network.Deny, RuleDefault},
		{only, network.UDP, "files.pypi.org", 443, network.Deny, RuleResolver},
		{only, network.TCP, "example.com", 443, network.Deny, RuleDefault},
		{only, network.TCP, "10.1.1.1", 5432, network.Allow, "+10.0.0.0/8:5432"},
		{only, network.TCP, "10.9.1.1", 5432, network.Deny, "-10.9.0.0/16"},
		{only, network.TCP, "127.0.0.1", 80, network.Deny, RuleHost},
		{only, network.TCP, "127.1", 80, network.Deny, RuleHost},
		{only, network.TCP, "2130706433", 80, network.Deny, RuleHost},
		{only, network.TCP, "0x7f000001", 80, network.Deny, RuleHost},
		{only, network.TCP, "017700000001", 80, network.Deny, RuleHost},
		{only, network.TCP, "0251.0376.0251.0376", 80, network.Deny, RuleMetadata},
		{only, network.TCP, "::ffff:127.0.0.1", 80, network.Deny, RuleMartian},
		{only, network.TCP, "ollama", 11434, network.Allow, RuleService},
		{only, network.TCP, "ollama", 80, network.Deny, RuleGateway},
		{only, network.UDP, "10.0.2.3", 53, network.Allow, RuleGateway},
		{only, network.UDP, "8.8.8.8", 53, network.Deny, RuleResolver},
		{network.Policy{Default: network.Allow}, network.TCP, "example.com", 22, network.Allow, RuleDefault},
		{rules("-evil.example", "+*"), network.TCP, "evil.example", 443, network.Deny, "-evil.example"},
		{rules("-evil.example", "+*"), network.TCP, "1.2.3.4", 443, network.Deny, RuleName},
	} {
		e, _ := evaluator(t, c.policy)
		v, err := e.Explain(network.Flow{Protocol: c.proto, Host: c.host, Port: c.port})
		if err != nil || v.Action != c.action || v.Rule != c.rule {
			t.Errorf("%s %s:%d: %+v, %v; want %v by %s", c.proto, c.host, c.port, v, err, c.action, c.rule)
		}
	}
	e, _ := evaluator(t, only)
	if _, err := e.Explain(network.Flow{Protocol: network.TCP, Host: "a b", Port: 1}); err == nil {
		t.Error("nonsense is explained")
	}
}
