package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// write renders a destination, so that tables can compare it.
func (d Destination) write() string {
	var parts []string
	switch {
	case d.Any:
		parts = append(parts, "any")
	case d.Domain != "":
		parts = append(parts, "name "+d.Domain)
	default:
		parts = append(parts, d.CIDR.String())
	}
	for _, p := range d.Ports {
		parts = append(parts, fmt.Sprintf("%d-%d", p.First, p.Last))
	}
	for _, p := range d.Protocols {
		parts = append(parts, string(p))
	}
	return strings.Join(parts, " ")
}

func TestParseDestination(t *testing.T) {
	for in, want := range map[string]string{
		"pypi.org":                   "name pypi.org",
		"PyPI.org.:443":              "name pypi.org 443-443",
		"*.pypi.org:443":             "name *.pypi.org 443-443",
		"bücher.example":             "name xn--bcher-kva.example",
		"*.bücher.example":           "name *.xn--bcher-kva.example",
		"_a.example":                 "name _a.example",
		"db:5432":                    "name db 5432-5432",
		"10.0.0.0/8":                 "10.0.0.0/8",
		"10.0.0.0/8:80,443,8000-9/t": "",
		"10.0.0.0/8:80,443,8-9/tcp":  "10.0.0.0/8 80-80 443-443 8-9 tcp",
		"10.0.0.5":                   "10.0.0.5/32",
		"10.0.0.5:53/udp":            "10.0.0.5/32 53-53 udp",
		"10.0.0.5/icmp":              "10.0.0.5/32 icmp",
		"10.0.0.0/8/icmp":            "10.0.0.0/8 icmp",
		"2001:db8::1":                "2001:db8::1/128",
		"2001:db8::/32":              "2001:db8::/32",
		"2001:db8::/32/udp":          "2001:db8::/32 udp",
		"[2001:db8::/32]:443":        "2001:db8::/32 443-443",
		"[2001:db8::1]":              "2001:db8::1/128",
		"*":                          "any",
		"*:443":                      "any 443-443",
		"*/icmp":                     "any icmp",
		"0.0.0.0/0":                  "0.0.0.0/0",

		"": "", ":443": "", "a.example:": "", "a.example:0": "", "a.example:65536": "", "a.example:https": "", "a.example:9-8": "",
		"a.example:80,": "", "a b": "", "*.*.example": "", "a.*.example": "", "http://a.example": "", "a.example/path": "", "1.2.3.4.5": "",
		"10.0.0.1/8": "", "10.0.0.0/33": "", "[10.0.0.1]:80": "", "[2001:db8::1": "", "[2001:db8::1]443": "", "[2001:db8::1]:": "",
		"::ffff:1.2.3.4": "", "::ffff:1.2.3.0/120": "", "fe80::1%eth0": "", "10.0.0.5:7/icmp": "", "127.1": "", "0x7f000001": "",
	} {
		d, err := ParseDestination(in)
		got := ""
		if err == nil {
			got = d.write()
		}
		if got != want {
			t.Errorf("%q is %q (%v); want %q", in, got, err, want)
		}
	}
}

// block writes a network block with a policy.
func block(deny, allow []string) *plan.Network {
	rules := func(texts []string) (out []plan.EgressRule) {
		for i, text := range texts {
			out = append(out, plan.EgressRule{Origin: fmt.Sprintf("agent.hcl:%d", i+1), Destination: text})
		}
		return out
	}
	return &plan.Network{Egress: &plan.Egress{Allow: rules(allow), Deny: rules(deny)}}
}

func TestEgress(t *testing.T) {
	limits := plan.NetworkLimits{Connections: 1, NewConnectionsPerSecond: 2, BytesPerSecond: 3, TotalBytes: 4}
	p, err := Egress(&plan.Network{Limits: limits})
	if err != nil || p.Default != network.Allow || p.Rules != nil || p.Limits != network.Limits(limits) {
		t.Errorf("without a policy: %+v, %v", p, err)
	}
	if p, err = Egress(block(nil, nil)); err != nil || p.Default != network.Deny {
		t.Errorf("with an empty policy: %+v, %v", p, err)
	}
	p, err = Egress(block([]string{"10.0.0.0/8", "evil.example"}, []string{"*.a.example:443", "1.2.3.4"}))
	if err != nil || p.Default != network.Deny || !p.RestrictNames {
		t.Fatalf("%+v, %v", p, err)
	}
	var got []string
	for _, r := range p.Rules {
		d := Destination{r.CIDR, r.Domain, r.Any, r.Ports, r.Protocols}
		got = append(got, fmt.Sprintf("%d %s by %s", r.Action, d.write(), r.Origin))
	}
	want := []string{
		"0 10.0.0.0/8 by agent.hcl:1", "0 name evil.example by agent.hcl:2",
		"1 name *.a.example 443-443 tcp by agent.hcl:1", "1 1.2.3.4/32 by agent.hcl:2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("rules:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if p, _ := Egress(block(nil, []string{"*:443", "8.8.8.8:53"})); p.RestrictNames {
		t.Error("names are restricted by rules without names")
	}
}

func TestEgressRefusesWhatCannotBeHeld(t *testing.T) {
	for _, c := range []struct{ deny, allow []string }{
		{allow: []string{"127.0.0.1:80"}}, {allow: []string{"127.0.0.0/8"}}, {allow: []string{"::1"}}, {allow: []string{"localhost:80"}},
		{allow: []string{"0.0.0.0"}}, {allow: []string{"224.0.0.1"}}, {allow: []string{"255.255.255.255"}}, {allow: []string{"ff02::1"}},
		{allow: []string{"a.example:123/udp"}}, {allow: []string{"a.example/icmp"}},
		{allow: []string{"a.example", "8.8.8.8:53"}}, {allow: []string{"a.example", "*:53,853"}}, {deny: []string{"a.example"}, allow: []string{"*:853"}},
		{deny: []string{"nonsense here"}},
	} {
		if p, err := Egress(block(c.deny, c.allow)); err == nil || !strings.Contains(err.Error(), "agent.hcl:") {
			t.Errorf("%+v compiles to %+v, %v", c, p, err)
		}
	}
	for _, deny := range []string{"127.0.0.1", "a.example:1/udp", "224.0.0.0/4"} {
		if _, err := Egress(block([]string{deny}, nil)); err != nil {
			t.Errorf("deny %s: %v", deny, err)
		}
	}
}

func TestAttachment(t *testing.T) {
	n := block(nil, []string{"*"})
	n.Services = []plan.Service{{Name: "ollama", Address: "10.0.2.2:11434", TCPAddress: "127.0.0.1:11434"}, {Name: "broker", Address: "10.0.2.2:80", UnixPath: "/run/b"},
		{Name: "time", Address: "10.0.2.2:123", UDPAddress: "[::1]:123"}}
	n.Published = []plan.PublishedPort{{Protocol: "udp", HostAddress: "0.0.0.0", HostPort: 1, GuestPort: 2}, {Protocol: "tcp", GuestPort: 3}}
	a, err := Attachment(n, Host{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Services[0].Guest != netip.MustParseAddrPort("10.0.2.2:11434") || a.Services[1].UnixPath != "/run/b" || a.Services[2].UDPAddress != "[::1]:123" || len(a.Policy.Rules) != 1 {
		t.Errorf("%+v", a)
	}
	if a.Published[0].Host != netip.IPv4Unspecified() || a.Published[1].Host.IsValid() || a.Published[1].Protocol != network.TCP {
		t.Errorf("%+v", a.Published)
	}
	for _, s := range []plan.Service{
		{Address: "10.0.2.2", TCPAddress: "127.0.0.1:1"}, {Address: "10.0.2.2:0", TCPAddress: "127.0.0.1:1"}, {Address: "10.0.2.3:53", TCPAddress: "127.0.0.1:1"},
		{Address: "10.0.2.15:1", TCPAddress: "127.0.0.1:1"}, {Address: "10.0.2.2:1"}, {Address: "10.0.2.2:1", TCPAddress: "127.0.0.1:1", UnixPath: "/x"},
		{Address: "10.0.2.2:1", TCPAddress: "localhost:1"}, {Address: "10.0.2.2:1", UDPAddress: "localhost:1"},
		{Address: "10.0.2.2:1", TCPAddress: "127.0.0.1:1", UDPAddress: "127.0.0.1:1"},
	} {
		if _, err := Service(s, a); err == nil {
			t.Errorf("%+v is a service", s)
		}
	}
}

func FuzzParseDestination(f *testing.F) {
	for _, seed := range []string{"*.pypi.org:443", "[2001:db8::/32]:80-89/tcp", "10.0.0.0/8", "*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDestination(text)
		if err != nil {
			return
		}
		set := 0
		for _, is := range []bool{d.Any, d.Domain != "", d.CIDR.IsValid()} {
			if is {
				set++
			}
		}
		if set != 1 {
			t.Fatalf("%q is %+v", text, d)
		}
	})
}
