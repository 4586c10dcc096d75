package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/sniff"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

// evaluator makes one for a guest with the usual layout, on a host with two addresses of its own.
func evaluator(t testing.TB, p network.Policy) (*Evaluator, *clock) {
	t.Helper()
	c := &clock{time.Unix(1000, 0)}
	e, err := New(Config{
		Services: []network.Service{
			{Name: "ollama", Guest: netip.MustParseAddrPort("10.0.2.2:11434"), TCPAddress: "127.0.0.1:11434"},
			{Name: "broker", Guest: netip.MustParseAddrPort("10.0.2.2:80"), UnixPath: "/run/broker"},
		},
		Gateway: addrs("10.0.2.2", "fd00::2"), DNS: addrs("10.0.2.3"),
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24"), netip.MustParsePrefix("fd00::/64")},
		Host:     addrs("203.0.113.7", "192.168.1.5", "2001:db8::7"),
		Now:      func() time.Time { return c.now },
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	return e, c
}

func addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// rules writes a policy as core/policy compiles it: "+" allows, "-" denies, and nothing else is allowed.
// "+*.example.com:443", "-10.0.0.0/8", "+*:80", "+1.1.1.1/32:53/udp".
func rules(lines ...string) network.Policy {
	var p network.Policy
	for _, line := range lines {
		r := network.Rule{Origin: line}
		if line[0] == '+' {
			r.Action = network.Allow
		}
		rest := line[1:]
		for _, proto := range []network.Protocol{network.TCP, network.UDP, network.ICMP} {
			if cut, ok := strings.CutSuffix(rest, "/"+string(proto)); ok {
				rest, r.Protocols = cut, []network.Protocol{proto}
			}
		}
		if prefix, err := netip.ParsePrefix(rest); err == nil {
			r.CIDR = prefix
		} else {
			if i := strings.LastIndexByte(rest, ':'); i >= 0 {
				first, last, ranged := strings.Cut(rest[i+1:], "-")
				if !ranged {
					last = first
				}
				r.Ports, rest = []network.PortRange{{First: number(first), Last: number(last)}}, rest[:i]
			}
			if prefix, err := netip.ParsePrefix(rest); err == nil {
				r.CIDR = prefix
			} else if rest == "*" {
				r.Any = true
			} else {
				r.Domain, p.RestrictNames = rest, true
			}
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

func number(s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		panic(err)
	}
	return uint16(n)
}

// flow reads "tcp 1.2.3.4:80" or "icmp 1.2.3.4".
func flow(text string) Flow {
	proto, to, _ := strings.Cut(text, " ")
	f := Flow{Protocol: network.Protocol(proto), Source: netip.MustParseAddrPort("10.0.2.15:40000")}
	if a, err := netip.ParseAddr(to); err == nil {
		f.Destination = netip.AddrPortFrom(a, 0)
		return f
	}
	f.Destination = netip.MustParseAddrPort(to)
	return f
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		policy network.Policy
		flow   string
		allow  bool
		rule   string
	}{
		// Without a policy everything is allowed that is nobody's own.
		{network.Policy{Default: network.Allow}, "tcp 1.2.3.4:80", true, RuleDefault},
		{network.Policy{Default: network.Allow}, "udp 1.2.3.4:53", true, RuleDefault},
		{network.Policy{Default: network.Allow}, "icmp 1.2.3.4", true, RuleDefault},
		{network.Policy{Default: network.Allow}, "tcp 192.168.7.1:80", true, RuleDefault},
		{network.Policy{Default: network.Allow}, "tcp 192.168.1.5:22", false, RuleHost},
		{network.Policy{Default: network.Allow}, "tcp 203.0.113.7:22", false, RuleHost},
		{network.Policy{Default: network.Allow}, "tcp [2001:db8::7]:22", false, RuleHost},
		{network.Policy{Default: network.Allow}, "tcp 127.0.0.1:22", false, RuleHost},
		{network.Policy{Default: network.Allow}, "tcp 127.8.8.8:22", false, RuleHost},
		{network.Policy{Default: network.Allow}, "tcp [::1]:22", false, RuleHost},
		{network.Policy{Default: network.Allow}, "tcp 0.0.0.0:22", false, RuleMartian},
		{network.Policy{Default: network.Allow}, "tcp 0.1.2.3:22", false, RuleMartian},
		{network.Policy{Default: network.Allow}, "tcp [::]:22", false, RuleMartian},
		{network.Policy{Default: network.Allow}, "tcp [::ffff:127.0.0.1]:22", false, RuleMartian},
		{network.Policy{Default: network.Allow}, "tcp [::127.0.0.1]:22", false, RuleMartian},
		{network.Policy{Default: network.Allow}, "tcp [::ffff:0:7f00:1]:22", false, RuleMartian},
		{network.Policy{Default: network.Allow}, "tcp [64:ff9b::7f00:1]:22", false, RuleTranslated},
		{network.Policy{Default: network.Allow}, "tcp [2002:7f00:1::1]:22", false, RuleTranslated},
		{network.Policy{Default: network.Allow}, "udp 255.255.255.255:67", false, RuleMartian},
		{network.Policy{Default: network.Allow}, "udp 224.0.0.251:5353", false, RuleMartian},
		{network.Policy{Default: network.Allow}, "udp [ff02::fb]:5353", false, RuleMartian},
		{network.Policy{Default: network.Allow}, "tcp 169.254.169.254:80", false, RuleMetadata},
		{network.Policy{Default: network.Allow}, "tcp [fd00:ec2::254]:80", false, RuleMetadata},
		{network.Policy{Default: network.Allow}, "tcp 168.63.129.16:80", false, RuleMetadata},
		{network.Policy{Default: network.Allow}, "tcp 100.100.100.200:80", false, RuleMetadata},
		{network.Policy{Default: network.Allow}, "tcp 169.254.1.1:80", false, RuleLinkOnly},
		{network.Policy{Default: network.Allow}, "tcp [fe80::1]:80", false, RuleLinkOnly},

		// The guest's own network holds services only.
		{network.Policy{Default: network.Allow}, "tcp 10.0.2.2:11434", true, RuleService},
		{rules("-*"), "tcp 10.0.2.2:11434", true, RuleService},
		{network.Policy{Default: network.Allow}, "udp 10.0.2.2:11434", false, RuleGateway},
		{network.Policy{Default: network.Allow}, "tcp 10.0.2.2:22", false, RuleGateway},
		{network.Policy{Default: network.Allow}, "tcp 10.0.2.3:22", false, RuleGateway},
		{network.Policy{Default: network.Allow}, "tcp 10.0.2.99:22", false, RuleGateway},
		{network.Policy{Default: network.Allow}, "udp 10.0.2.255:67", false, RuleGateway},
		{network.Policy{Default: network.Allow}, "tcp [fd00::77]:22", false, RuleGateway},
		{rules("+10.0.2.0/24"), "tcp 10.0.2.2:22", false, RuleGateway},
		{network.Policy{Default: network.Allow}, "icmp 10.0.2.2", true, RuleGateway},
		{network.Policy{Default: network.Allow}, "icmp 10.0.2.99", false, RuleGateway},

		// Rules by prefix, port and protocol; the first that matches.
		{rules("+1.2.3.0/24:80"), "tcp 1.2.3.4:80", true, "+1.2.3.0/24:80"},
		{rules("+1.2.3.0/24:80"), "udp 1.2.3.4:80", true, "+1.2.3.0/24:80"},
		{rules("+1.2.3.0/24:80/tcp"), "udp 1.2.3.4:80", false, RuleDefault},
		{rules("+1.2.3.0/24:80"), "tcp 1.2.3.4:81", false, RuleDefault},
		{rules("+1.2.3.0/24:80"), "icmp 1.2.3.4", false, RuleDefault},
		{rules("+1.2.3.0/24"), "icmp 1.2.3.4", true, "+1.2.3.0/24"},
		{rules("+1.2.3.0/24:80-90"), "tcp 1.2.3.4:90", true, "+1.2.3.0/24:80-90"},
		{rules("+1.2.3.0/24:80-90"), "tcp 1.2.3.4:91", false, RuleDefault},
		{rules("-1.2.3.4/32", "+1.2.3.0/24"), "tcp 1.2.3.4:80", false, "-1.2.3.4/32"},
		{rules("+1.2.3.0/24", "-1.2.3.4/32"), "tcp 1.2.3.4:80", true, "+1.2.3.0/24"},
		{rules("-1.2.3.4/32", "+*"), "tcp 1.2.3.5:80", true, "+*"},
		{rules("-1.2.3.4/32", "+*", "+64:ff9b::/96"), "tcp [64:ff9b::1.2.3.4]:80", false, "-1.2.3.4/32"},
		{rules("+*", "+64:ff9b::/96"), "tcp [64:ff9b::1.2.3.5]:80", true, "+64:ff9b::/96"},
		{rules("+2001:db8:1::/48"), "tcp [2001:db8:1::1]:80", true, "+2001:db8:1::/48"},

		// What is guarded must be named.
		{rules("+*"), "tcp 169.254.169.254:80", false, RuleMetadata},
		{rules("+0.0.0.0/0"), "tcp 169.254.169.254:80", false, RuleMetadata},
		{rules("+169.254.0.0/16"), "tcp 169.254.169.254:80", false, RuleMetadata},
		{rules("+169.254.169.254/32"), "tcp 169.254.169.254:80", true, "+169.254.169.254/32"},
		{rules("+169.254.0.0/16"), "tcp 169.254.7.7:80", true, "+169.254.0.0/16"},
		{rules("+*"), "tcp 10.1.1.1:80", false, RulePrivate},
		{rules("+0.0.0.0/0"), "tcp 10.1.1.1:80", false, RulePrivate},
		{rules("+10.0.0.0/8"), "tcp 10.1.1.1:80", true, "+10.0.0.0/8"},
		{rules("+192.168.1.0/24"), "tcp 192.168.1.9:80", true, "+192.168.1.0/24"},
		{rules("+192.168.1.0/24"), "tcp 192.168.1.5:80", false, RuleHost},
		{rules("+192.168.1.5/32"), "tcp 192.168.1.5:80", true, "+192.168.1.5/32"},
		{rules("+*"), "tcp 127.0.0.1:80", false, RuleHost},
		{rules("+0.0.0.0/0"), "tcp 127.0.0.1:80", false, RuleHost},
		{rules("+::/0"), "tcp [::1]:80", false, RuleHost},
		{rules("+::/0"), "tcp [::ffff:1.2.3.4]:80", false, RuleMartian},

		// An empty policy that denies.
		{network.Policy{}, "tcp 1.2.3.4:80", false, RuleDefault},
	} {
		e, _ := evaluator(t, c.policy)
		v := e.Decide(flow(c.flow))
		if v.Allow != c.allow || v.Rule != c.rule || v.NeedsName {
			t.Errorf("%v: %s: %+v; want %v by %s", origins(c.policy), c.flow, v, c.allow, c.rule)
		}
	}
}

func origins(p network.Policy) (out []string) {
	for _, r := range p.Rules {
		out = append(out, r.Origin)
	}
	return out
}

func TestUpdateRefusesWhatItCannotEnforce(t *testing.T) {
	for _, r := range []network.Rule{
		{Origin: "no destination"},
		{Origin: "two destinations", Any: true, Domain: "a.example"},
		{Origin: "no name", Domain: "a b"},
		{Origin: "an address for a name", Domain: "1.2.3.4"},
		{Origin: "a star inside", Domain: "a.*.example"},
		{Origin: "a name over UDP", Action: network.Allow, Domain: "a.example", Protocols: []network.Protocol{network.UDP}},
		{Origin: "loopback", Action: network.Allow, CIDR: netip.MustParsePrefix("127.0.0.1/32")},
		{Origin: "loopback6", Action: network.Allow, CIDR: netip.MustParsePrefix("::1/128")},
		{Origin: "multicast", Action: network.Allow, CIDR: netip.MustParsePrefix("224.0.0.0/8")},
		{Origin: "mapped", CIDR: netip.MustParsePrefix("::ffff:1.2.3.0/120")},
		{Origin: "ports", Any: true, Ports: []network.PortRange{{First: 2, Last: 1}}},
	} {
		e, _ := evaluator(t, rules("+1.2.3.4/32"))
		err := e.Update(network.Policy{Rules: []network.Rule{r}})
		if err == nil || !strings.Contains(err.Error(), "rule "+r.Origin) {
			t.Errorf("%s: %v", r.Origin, err)
		}
		if !e.Decide(flow("tcp 1.2.3.4:80")).Allow {
			t.Errorf("%s: the policy before is not in force any more", r.Origin)
		}
		if _, err := New(Config{}, network.Policy{Rules: []network.Rule{r}}); err == nil {
			t.Errorf("%s: it starts", r.Origin)
		}
	}
}

func TestUpdateAndRecheck(t *testing.T) {
	e, c := evaluator(t, rules("+a.example:443", "+1.2.3.0/24"))
	e.Learn("a.example", addrs("9.9.9.9"), time.Minute)
	named := e.DecideNamed(flow("tcp 9.9.9.9:443"), sniff.Result{Protocol: sniff.TLS, Name: "a.example"})
	plain := e.Decide(flow("tcp 1.2.3.4:22"))
	if !named.Allow || named.Guard == nil || !plain.Allow {
		t.Fatalf("%+v, %+v", named, plain)
	}
	c.pass(time.Hour) // what was learned is forgotten, and flows live on
	if v := e.Recheck(flow("tcp 9.9.9.9:443"), named); !v.Allow {
		t.Errorf("a flow ends with the answer that its name came from: %+v", v)
	}
	if err := e.Update(rules("+b.example:443", "+1.2.3.4/32:80")); err != nil {
		t.Fatal(err)
	}
	e.Learn("b.example", addrs("9.9.9.9"), time.Minute)
	if v := e.Recheck(flow("tcp 9.9.9.9:443"), named); v.Allow {
		t.Errorf("a flow stays whose name is not allowed any more: %+v", v)
	}
	if v := e.Recheck(flow("tcp 1.2.3.4:22"), plain); v.Allow {
		t.Errorf("a flow stays whose port is not allowed any more: %+v", v)
	}
}

func TestSetHost(t *testing.T) {
	e, _ := evaluator(t, network.Policy{Default: network.Allow})
	e.SetHost(addrs("198.51.100.1", "::ffff:198.51.100.2"))
	for text, allow := range map[string]bool{"tcp 198.51.100.1:1": false, "tcp 198.51.100.2:1": false, "tcp 203.0.113.7:1": true} {
		if v := e.Decide(flow(text)); v.Allow != allow {
			t.Errorf("%s: %+v", text, v)
		}
	}
}

// A flow is judged in the time of a few system calls, under a long policy too.
func BenchmarkDecide(b *testing.B) {
	var lines []string
	for i := range 500 {
		lines = append(lines, "-172."+strconv.Itoa(i%256)+".0.0/16", "+*.d"+strconv.Itoa(i)+".example:443")
	}
	e, _ := evaluator(b, rules(lines...))
	e.Learn("x.d499.example", addrs("9.9.9.9"), time.Minute)
	f := flow("tcp 9.9.9.9:443")
	b.ReportAllocs()
	for b.Loop() {
		if v := e.Decide(f); !v.NeedsName {
			b.Fatalf("%+v", v)
		}
	}
}
