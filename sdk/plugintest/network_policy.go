//go:build linux

package plugintest

import (
	"context"
	"io"
	"net"
	"net/netip"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func policyIsRefused(s *networkSession) {
	a := s.layout()
	a.Policy = network.Policy{Rules: []network.Rule{{Origin: "a.hcl:1", Action: network.Allow, CIDR: netip.MustParsePrefix("192.0.2.0/24")}}}
	if _, err := s.Attach(s.ctx, a); err == nil {
		s.Error("a policy that nobody enforces was accepted")
	}
}

// serviceAt is where the guest finds a server of the suite's.
var serviceAt = netip.AddrPortFrom(wiretest.GatewayIP, 7000)

// serve attaches a guest with a service, and returns the listener behind it.
func (s *networkSession) serve(policy network.Policy) (*wiretest.Guest, net.Listener) {
	s.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = l.Close() })
	a := s.layout()
	a.Policy = policy
	a.Services = []network.Service{{Name: "suite", Guest: serviceAt, TCPAddress: l.Addr().String()}}
	return s.attach(a), l
}

var networkPolicyCases = []networkCase{
	{"a service is reached", func(s *networkSession) {
		g, l := s.serve(network.Policy{}) // nothing else is allowed
		c := g.Dial(serviceAt)
		server, err := l.Accept()
		if err != nil {
			s.Fatal(err)
		}
		defer server.Close()
		c.Send("ping")
		b := make([]byte, 4)
		if _, err := io.ReadFull(server, b); err != nil || string(b) != "ping" {
			s.Errorf("the server got %q, %v", b, err)
		}
		if _, err := server.Write([]byte("pong")); err != nil {
			s.Error(err)
		}
		if got := c.ExpectBytes(4); got != "pong" {
			s.Errorf("the guest got %q", got)
		}
	}},
	{"what is denied is refused, and told with its rule", func(s *networkSession) {
		rule := network.Rule{Origin: "a.hcl:7", Action: network.Deny, CIDR: netip.MustParsePrefix("192.0.2.0/24")}
		g, _ := s.serve(network.Policy{Rules: []network.Rule{rule}, Default: network.Allow})
		to := netip.MustParseAddrPort("192.0.2.1:80")
		ctx, cancel := context.WithCancel(s.ctx)
		denied, watching := make(chan network.Event, 1), make(chan struct{})
		watched := make(chan error, 1)
		go func() {
			watched <- s.Watch(ctx, func(e network.Event) error {
				if e.Kind == network.Watching {
					close(watching)
				}
				if e.Kind == network.Denied {
					select {
					case denied <- e:
					default:
					}
				}
				return nil
			})
		}()
		select {
		case <-watching:
		case <-s.ctx.Done():
			s.Fatal("the watch does not say that it has begun")
		}
		g.Open(to).ExpectReset()
		select {
		case e := <-denied:
			if e.Rule != rule.Origin || e.Destination != to.String() || e.Protocol != network.TCP {
				s.Errorf("%+v", e)
			}
		case <-s.ctx.Done():
			s.Fatal("no event")
		}
		cancel()
		<-watched
	}},
	{"a flow is explained without being opened", func(s *networkSession) {
		rules := []network.Rule{
			{Origin: "a.hcl:1", Action: network.Deny, CIDR: netip.MustParsePrefix("198.51.100.7/32")},
			{Origin: "a.hcl:2", Action: network.Allow, CIDR: netip.MustParsePrefix("198.51.100.0/24"), Ports: []network.PortRange{{First: 443, Last: 443}}},
		}
		s.serve(network.Policy{Rules: rules})
		for _, c := range []struct {
			host   string
			port   uint16
			action network.Action
			rule   string // empty means a built-in one
		}{
			{"198.51.100.7", 443, network.Deny, "a.hcl:1"},
			{"198.51.100.8", 443, network.Allow, "a.hcl:2"},
			{"198.51.100.8", 80, network.Deny, ""},
			{"203.0.113.1", 443, network.Deny, ""},
			{"169.254.169.254", 80, network.Deny, ""},
			{"127.0.0.1", 80, network.Deny, ""},
			{serviceAt.Addr().String(), serviceAt.Port(), network.Allow, ""},
		} {
			v, err := s.Explain(s.ctx, network.Flow{Protocol: network.TCP, Host: c.host, Port: c.port})
			if err != nil || v.Action != c.action || v.Rule == "" || c.rule != "" && v.Rule != c.rule {
				s.Errorf("%s:%d is explained as %+v, %v", c.host, c.port, v, err)
			}
		}
	}},
	{"a new policy ends what it forbids", func(s *networkSession) {
		g, l := s.serve(network.Policy{Default: network.Allow})
		c := g.Dial(serviceAt)
		server, err := l.Accept()
		if err != nil {
			s.Fatal(err)
		}
		defer server.Close()
		if n, err := s.UpdatePolicy(s.ctx, network.Policy{}); err != nil || n != 0 {
			s.Errorf("a service's flow was among %d that were reset, %v", n, err)
		}
		c.Send("still here")
		if _, err := io.ReadFull(server, make([]byte, 10)); err != nil {
			s.Error(err)
		}
	}},
	{"a guest cannot be another", func(s *networkSession) {
		g, l := s.serve(network.Policy{Default: network.Allow})
		impostor := wiretest.TCP{From: netip.MustParseAddrPort("10.0.2.77:1000"), To: serviceAt, Flags: wiretest.Syn, Window: 1000}
		g.Send(impostor)
		impostor.From = netip.AddrPortFrom(wiretest.GuestIP, 1000)
		impostor.EtherFrom = net.HardwareAddr{2, 0, 0, 0, 0, 9}
		g.Send(impostor)
		g.ExpectNothing("an answer to an impostor", wiretest.IsTCP)
		c := g.Dial(serviceAt)
		server, err := l.Accept()
		if err != nil {
			s.Fatal(err)
		}
		defer server.Close()
		if got := server.RemoteAddr(); got == nil || c.Local.Port() == 0 {
			s.Error("no connection")
		}
	}},
}
