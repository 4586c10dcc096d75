package policy

import (
	"fmt"
	"slices"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func TestWithHosts(t *testing.T) {
	n := block([]string{"*.evil.example"}, []string{"10.0.0.0/8"})
	layout, err := Layout(plan.NetworkLayout{}, Host{IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{
		"api.anthropic.com:443", "192.0.2.7:8000", "[2001:db8::7]:8000", "10.0.2.2:11434", "[fd76:6f69:6462:6f78::2]:1",
		"127.0.0.1:11434", "[::1]:1", "localhost:1",
	}
	p, loopback, err := WithHosts(n, layout, "llm claude.main", hosts)
	if err != nil || p.Default != network.Deny || !p.RestrictNames {
		t.Fatalf("%+v, %v", p, err)
	}
	var got []string
	for _, r := range p.Rules {
		d := Destination{r.CIDR, r.Domain, r.Any, r.Ports, r.Protocols}
		got = append(got, fmt.Sprintf("%d %s by %s", r.Action, d.write(), r.Origin))
	}
	want := []string{
		"0 name *.evil.example by agent.hcl:1", "1 10.0.0.0/8 by agent.hcl:1", "1 name api.anthropic.com 443-443 tcp by llm claude.main",
		"1 192.0.2.7/32 8000-8000 tcp by llm claude.main", "1 2001:db8::7/128 8000-8000 tcp by llm claude.main",
	}
	if !slices.Equal(got, want) {
		t.Errorf("rules %q, want %q", got, want)
	}
	if want := hosts[5:]; !slices.Equal(loopback, want) {
		t.Errorf("on the loopback: %q, want %q", loopback, want)
	}
	if len(n.Egress.Allow) != 1 {
		t.Error("the file's own policy was changed")
	}
}

func TestHostsWithoutAPolicy(t *testing.T) {
	p, loopback, err := WithHosts(&plan.Network{}, network.Attachment{}, "llm", []string{"a.example:443", "127.0.0.1:1"})
	if err != nil || p.Default != network.Allow || p.Rules != nil || loopback != nil {
		t.Errorf("%+v, %v, %v", p, loopback, err)
	}
}

// A host that would make a policy one that cannot be held is refused, with who wants it.
func TestHostsThatCannotBe(t *testing.T) {
	for _, host := range []string{"nowhere", "a.example:", "a b:1", "224.0.0.1:1"} {
		if p, _, err := WithHosts(block(nil, nil), network.Attachment{}, "llm x", []string{host}); err == nil {
			t.Errorf("%q makes %+v", host, p)
		}
	}
	if _, _, err := WithHosts(block(nil, []string{"8.8.8.8:53"}), network.Attachment{}, "llm x", []string{"a.example:443"}); err == nil {
		t.Error("another resolver stands beside a name")
	}
}
