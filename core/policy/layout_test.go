package policy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
)

// write shows who is where.
func written(l plan.NetworkLayout, h Host) (string, error) {
	a, err := Layout(l, h)
	if err != nil {
		return "", err
	}
	var parts []string
	for i := range a.Guest {
		parts = append(parts, a.Guest[i].String()+" by "+a.Gateway[i].Addr().String())
	}
	return strings.Join(parts, ", ") + " asks " + a.DNS[0].String() + ", " + a.GuestMAC.String() + " by " + a.GatewayMAC.String(), nil
}

func TestLayout(t *testing.T) {
	const macs = ", 52:54:00:12:34:56 by 52:54:00:12:34:01"
	const v4, v6 = "10.0.2.15/24 by 10.0.2.2", ", fd76:6f69:6462:6f78:5054:ff:fe12:3456/64 by fd76:6f69:6462:6f78::2"
	for _, tc := range []struct {
		name   string
		layout plan.NetworkLayout
		host   Host
		want   string
	}{
		{"as usual", plan.NetworkLayout{}, Host{}, v4 + " asks 10.0.2.3" + macs},
		{"on a host with IPv6", plan.NetworkLayout{}, Host{IPv6: true}, v4 + v6 + " asks 10.0.2.3" + macs},
		{"auto by name", plan.NetworkLayout{IPv6: plan.IPv6Auto}, Host{IPv6: true}, v4 + v6 + " asks 10.0.2.3" + macs},
		{"without IPv6 all the same", plan.NetworkLayout{IPv6: plan.IPv6Off}, Host{IPv6: true}, v4 + " asks 10.0.2.3" + macs},
		{"with it all the same", plan.NetworkLayout{IPv6: plan.IPv6On}, Host{}, v4 + v6 + " asks 10.0.2.3" + macs},
		{"another subnet", plan.NetworkLayout{Subnet: "192.168.64.0/20"}, Host{}, "192.168.64.15/20 by 192.168.64.2 asks 192.168.64.3" + macs},
		{
			"everything by name",
			plan.NetworkLayout{
				Subnet: "172.16.0.0/29", Guest: "172.16.0.6", Gateway: "172.16.0.1", DNS: "172.16.0.2", IPv6: plan.IPv6On, Subnet6: "fd00:1::/64",
				GuestMAC: "02:00:00:00:00:01", GatewayMAC: "02-00-00-00-00-02",
			},
			Host{},
			"172.16.0.6/29 by 172.16.0.1, fd00:1::ff:fe00:1/64 by fd00:1::2 asks 172.16.0.2, 02:00:00:00:00:01 by 02:00:00:00:00:02",
		},
	} {
		if got, err := written(tc.layout, tc.host); err != nil || got != tc.want {
			t.Errorf("%s: %s, %v\nwant %s", tc.name, got, err, tc.want)
		}
	}
}

func TestLayoutsThatCannotBe(t *testing.T) {
	for name, l := range map[string]plan.NetworkLayout{
		"a subnet that is none":          {Subnet: "10.0.2.0"},
		"bits beyond its prefix":         {Subnet: "10.0.2.1/24"},
		"IPv6 as IPv4":                   {Subnet: "fd00::/64"},
		"everything":                     {Subnet: "0.0.0.0/0"},
		"the loopback":                   {Subnet: "127.0.0.0/8"},
		"link-local":                     {Subnet: "169.254.0.0/16"},
		"a group":                        {Subnet: "224.0.0.0/8"},
		"too small for host 15":          {Subnet: "10.0.2.0/28"},
		"a guest outside":                {Guest: "10.0.3.15"},
		"a guest that is no address":     {Guest: "guest"},
		"the network's own address":      {Guest: "10.0.2.0"},
		"everybody's address":            {Guest: "10.0.2.255"},
		"two at one address":             {Guest: "10.0.2.2"},
		"a resolver that is the guest":   {DNS: "10.0.2.15"},
		"a hardware address of a group":  {GuestMAC: "53:54:00:12:34:56"},
		"no hardware address":            {GuestMAC: "00:00:00:00:00:00"},
		"one that is too long":           {GatewayMAC: "52:54:00:12:34:56:78:9a"},
		"one for both":                   {GuestMAC: "52:54:00:12:34:01"},
		"an MTU that is too small":       {MTU: 575},
		"one that is too small for IPv6": {MTU: 1279, IPv6: plan.IPv6On},
		"one that is too large":          {MTU: 65521},
		"a short IPv6 subnet":            {IPv6: plan.IPv6On, Subnet6: "fd00::/48"},
		"a link-local one":               {IPv6: plan.IPv6On, Subnet6: "fe80::/64"},
		"IPv4 as IPv6":                   {IPv6: plan.IPv6On, Subnet6: "10.0.0.0/8"},
	} {
		if got, err := written(l, Host{}); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// What is looked at is this machine, so all that can be said is that nobody is hurt by looking.
func TestLocalHost(t *testing.T) { LocalHost() }

func FuzzLayout(f *testing.F) {
	f.Add("10.0.2.0/24", "10.0.2.15", "fd00::/64", "52:54:00:12:34:56")
	f.Add("10.0.2.0/31", "", "::/64", "02:00:00:00:00:00")
	f.Fuzz(func(t *testing.T, subnet, guest, subnet6, mac string) {
		a, err := Layout(plan.NetworkLayout{Subnet: subnet, Guest: guest, IPv6: plan.IPv6On, Subnet6: subnet6, GuestMAC: mac}, Host{})
		if err != nil {
			return
		}
		seen := map[netip.Addr]bool{}
		for _, addr := range []netip.Addr{a.Guest[0].Addr(), a.Gateway[0].Addr(), a.DNS[0]} {
			if seen[addr] || !a.Guest[0].Contains(addr) {
				t.Fatalf("%v in %+v", addr, a)
			}
			seen[addr] = true
		}
		if !a.Guest[1].Contains(a.Gateway[1].Addr()) || a.Guest[1].Addr() == a.Gateway[1].Addr() {
			t.Fatalf("%+v", a)
		}
	})
}
