package slirp

import (
	"log/slog"
	"net"
	"net/netip"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/dns"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/udp"
	"github.com/voidbox-run/voidbox/sdk/network"
)

const (
	dnsPort    = 53
	resolvConf = "/etc/resolv.conf"
)

// openResolver makes the resolver that the guest asks. servers names the host's resolvers; nil means those of its configuration.
func (a *attachment) openResolver(servers func() []netip.AddrPort) {
	if servers == nil {
		conf, err := dns.OpenResolvConf(resolvConf)
		if err != nil {
			slog.Warn("the guest has no resolver, except for services", "error", err)
			servers = func() []netip.AddrPort { return nil }
		} else {
			a.closers = append(a.closers, conf)
			servers = conf.Servers
		}
	}
	a.dns = dns.New(dns.Config{Policy: a.policy, Servers: servers, Denied: func(from netip.AddrPort, v policy.Verdict) {
		a.log.Denied(policy.Flow{Protocol: network.UDP, Source: from, Destination: a.resolverFor(from)}, v)
	}})
}

// resolverFor returns the resolver's address of a guest's family.
func (a *attachment) resolverFor(from netip.AddrPort) netip.AddrPort {
	for _, addr := range a.spec.DNS {
		if addr.Is4() == from.Addr().Is4() {
			return netip.AddrPortFrom(addr, dnsPort)
		}
	}
	return netip.AddrPort{}
}

// localUDP and localTCP are the addresses that this process serves itself.
func (a *attachment) localUDP() map[netip.AddrPort]udp.Serve {
	local := make(map[netip.AddrPort]udp.Serve)
	for _, addr := range a.spec.DNS {
		local[netip.AddrPortFrom(addr, dnsPort)] = a.dns.ServeUDP
	}
	return local
}

func (a *attachment) localTCP() map[netip.AddrPort]func(net.Conn) {
	local := make(map[netip.AddrPort]func(net.Conn))
	for _, addr := range a.spec.DNS {
		local[netip.AddrPortFrom(addr, dnsPort)] = a.dns.ServeTCP
	}
	return local
}
