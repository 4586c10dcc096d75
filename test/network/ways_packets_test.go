package network_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/testnet"
	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/test/network/internal/escape"
)

var (
	guest4, evil4 = wiretest.GuestIP, netip.MustParseAddr(evilAddress)
	guest6, evil6 = netip.MustParseAddr("fd76:6f69:6462:6f78:5054:ff:fe12:3456"), netip.MustParseAddr(evilAddress6)
	falseMAC      = net.HardwareAddr{0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc}
)

// waysByAddresses are those that lead to one, whatever is said there.
func waysByAddresses() []way {
	ways := []way{
		{"an address without its name", "builtin:default", connects(evilAddress + ":22")},
		{"an address of an allowed name that was not looked up", "builtin:default", func(e *escapee) attempt { return e.refused(earlyAddress+":443", e.hello(earlyName)) }},
		{"a port that is not allowed, of an allowed name", "builtin:default", func(e *escapee) attempt {
			e.lookUp(portedName, portedAddress)
			return e.refused(portedAddress+":443", e.hello(portedName))
		}},
		{"a denied address, by an allowed name", "agent.hcl:", func(e *escapee) attempt {
			e.lookUp(trapName, trapAddress)
			return e.refused(trapAddress+":443", e.hello(trapName))
		}},
		{"IPv6, without its name", "builtin:default", connects("[" + evilAddress6 + "]:80")},
		{"an allowed address of datagrams by TCP", "builtin:default", connects(echoServer)},
		{"another port of an allowed address of datagrams", "builtin:default", datagramTo("203.0.113.7:8")},
		{"datagrams to an allowed name's address", "builtin:default", datagramTo(webAddress + ":5000")},
		{"datagrams elsewhere", "builtin:default", datagramTo(evilAddress + ":5000")},
		{"datagrams elsewhere by IPv6", "builtin:default", datagramTo("[" + evilAddress6 + "]:5000")},
		{"a service by another protocol", "builtin:gateway", datagramTo("10.0.2.2:11434")},
		{"the host's loopback, by a service's port there", "builtin:gateway", connects("10.0.2.2:8000")},
		{"a published port turned around, at the gateway", "builtin:gateway", connects("10.0.2.2:8080")},
		{"a published port turned around, at the host", "builtin:host", connects(hostAddress + ":8080")},
		{"a published port turned around, elsewhere", "builtin:default", func(e *escapee) attempt { return e.sentFrom("10.0.2.15:7", evilAddress+":8") }},
		{"a published port turned around, to a client that never came", "builtin:gateway", func(e *escapee) attempt { return e.sentFrom("10.0.2.15:7", "10.0.2.2:32769") }},
		{"the network's broadcast address", "builtin:gateway", frame("10.0.2.255:137", wiretest.UDP{
			From: netip.AddrPortFrom(guest4, 9), To: netip.MustParseAddrPort("10.0.2.255:137"), Payload: []byte("data"),
		})},
	}
	for what, c := range map[string]struct{ at, rule string }{
		"the gateway":                      {"10.0.2.2:22", "gateway"},
		"the gateway by IPv6":              {"[fd76:6f69:6462:6f78::2]:22", "gateway"},
		"the resolver's other ports":       {"10.0.2.3:80", "gateway"},
		"a neighbour that is not there":    {"10.0.2.4:80", "gateway"},
		"the host":                         {hostAddress + ":22", "host"},
		"the host by IPv6":                 {"[" + testnet.Host6.Addr().String() + "]:22", "host"},
		"the metadata server":              {"169.254.169.254:80", "metadata"},
		"the metadata server of tasks":     {"169.254.170.2:80", "metadata"},
		"the metadata server by IPv6":      {"[fd00:ec2::254]:80", "metadata"},
		"another cloud's metadata server":  {"100.100.100.200:80", "metadata"},
		"link-local":                       {"169.254.1.1:80", "link-local"},
		"site-local":                       {"[fec0::1]:80", "link-local"},
		"a network of class A":             {"10.1.1.1:80", "private"},
		"a network of class B":             {"172.16.0.1:80", "private"},
		"a network of class C":             {"192.168.0.1:80", "private"},
		"the provider's network":           {"100.64.0.1:80", "private"},
		"a local network of IPv6":          {"[fd00::1]:80", "private"},
		"IPv4 behind a translator":         {"[64:ff9b::cb00:7142]:80", "translated"},
		"the loopback behind a translator": {"[64:ff9b::7f00:1]:80", "translated"},
		"a local translator":               {"[64:ff9b:1::cb00:7142]:80", "translated"},
		"IPv4 behind a tunnel (6to4)":      {"[2002:cb00:7142::1]:80", "translated"},
		"IPv4 behind a tunnel (Teredo)":    {"[2001:0:cb00:7142::1]:80", "translated"},
	} {
		ways = append(ways, way{what, "builtin:" + c.rule, connects(c.at)})
	}
	// What the guest's own kernel keeps to itself, or sends elsewhere than it says.
	for what, to := range map[string]string{
		"loopback": "127.0.0.1:80", "nothing": "0.0.0.0:80", "this network": "0.1.2.3:80", "class E": "240.0.0.1:80", "loopback of IPv6": "[::1]:80",
		"IPv4 in IPv6": "[::ffff:203.0.113.66]:80", "the loopback as IPv4 in IPv6": "[::ffff:127.0.0.1]:80",
		"IPv4 in IPv6, as it was": "[::203.0.113.66]:80", "IPv4 in IPv6, translated": "[::ffff:0:203.0.113.66]:80",
	} {
		ways = append(ways, way{"frames for " + what, "builtin:martian", frame(netip.MustParseAddrPort(to).String(), synTo(netip.MustParseAddrPort(to)))})
	}
	// As inet_aton reads them; each with a port of its own, since the guest's library makes the same address of them.
	for i, host := range []string{"0313.0.0161.0102", "3405803842", "0xcb007142", "203.0.28994"} {
		port := 9001 + i
		ways = append(ways, way{"the address written " + host, "builtin:default", func(e *escapee) attempt {
			e.fails(fmt.Sprintf("wget -q -O - http://%s:%d/", host, port))
			return attempt{told: fmt.Sprintf("%s:%d", evilAddress, port)}
		}})
	}
	return ways
}

// frame is a way that puts frames on the wire.
func frame(told string, messages ...wiretest.Message) func(*escapee) attempt {
	return func(e *escapee) attempt {
		e.frames(messages...)
		return attempt{told: told}
	}
}

func (e *escapee) frames(messages ...wiretest.Message) {
	e.t.Helper()
	r := escape.Request{Do: escape.Frames}
	for _, m := range messages {
		r.Send = append(r.Send, wiretest.Bytes(m))
	}
	if a := e.ask(e.t, r); a.Error != "" {
		e.t.Error(a.Error)
	}
}

// synTo asks for a connection, past the guest's kernel, and says something at once.
func synTo(to netip.AddrPort) wiretest.TCP {
	from := netip.AddrPortFrom(guest4, 40000)
	if to.Addr().Is6() {
		from = netip.AddrPortFrom(guest6, 40000)
	}
	return wiretest.TCP{From: from, To: to, Flags: wiretest.Syn, Window: 1000, Payload: []byte("data")}
}

func toEvil(port uint16) netip.AddrPort { return netip.AddrPortFrom(evil4, port) }

// datagramFrom is one for the evil host.
func datagramFrom(from netip.AddrPort, port uint16) wiretest.UDP {
	return wiretest.UDP{From: from, To: toEvil(port), Payload: []byte("data")}
}

func packetTo(protocol byte, payload string) wiretest.IP {
	return wiretest.IP{From: guest4, To: evil4, Proto: protocol, Payload: []byte(payload)}
}

// icmp is a message with data in it.
func icmp(kind byte, from, to netip.Addr) wiretest.IP {
	protocol := byte(unix.IPPROTO_ICMP)
	if to.Is6() {
		protocol = unix.IPPROTO_ICMPV6
	}
	message := append([]byte{kind, 0, 0, 0, 0, 1, 0, 1}, strings.Repeat("data", 300)...)
	return wiretest.IP{From: from, To: to, Proto: protocol, Payload: wiretest.ICMPChecksum(message, from, to)}
}

// tagged is a frame of a VLAN (IEEE 802.1Q).
func tagged(kind uint16, inner []byte) wiretest.Raw {
	tag := binary.BigEndian.AppendUint16(append([]byte(nil), inner[:12]...), kind)
	return append(append(tag, 0, 1), inner[12:]...)
}

const (
	protocolGRE, protocolSCTP, protocolESP = 47, 132, 50
	gatewayMAC                             = "52:54:00:12:34:01"
)

var waysByPackets = []way{
	{"a connection past the guest's kernel", "builtin:default", frame(evilAddress+":81", synTo(toEvil(81)))},
	{"a connection past the guest's kernel by IPv6", "builtin:default", frame("["+evilAddress6+"]:81", synTo(netip.AddrPortFrom(evil6, 81)))},
	{"a neighbour's address as the source", "builtin:spoofed", frame(evilAddress+":82", datagramFrom(netip.MustParseAddrPort("10.0.2.77:9"), 82))},
	{"the gateway's address as the source", "builtin:spoofed", frame(evilAddress+":83", datagramFrom(netip.MustParseAddrPort("10.0.2.2:9"), 83))},
	{"the host's address as the source", "builtin:spoofed", frame(evilAddress+":84", datagramFrom(netip.AddrPortFrom(testnet.Host.Addr(), 9), 84))},
	{"the resolver's address as the source", "builtin:spoofed", frame(evilAddress+":85", datagramFrom(netip.MustParseAddrPort("10.0.2.3:53"), 85))},
	{"an allowed server's address as the source", "builtin:spoofed", frame(evilAddress+":86", datagramFrom(netip.MustParseAddrPort(webAddress+":80"), 86))},
	{"another address of IPv6 as the source", "builtin:spoofed", frame("["+evilAddress6+"]:87", wiretest.UDP{
		From: netip.MustParseAddrPort("[fd76:6f69:6462:6f78::99]:9"), To: netip.AddrPortFrom(evil6, 87), Payload: []byte("data"),
	})},
	{"a spoofed source towards an allowed server", "builtin:spoofed", frame(echoServer, wiretest.UDP{
		From: netip.MustParseAddrPort("10.0.2.77:9"), To: netip.MustParseAddrPort(echoServer), Payload: []byte("data"),
	})},
	{"a false hardware address", "builtin:spoofed", frame(evilAddress+":88", wiretest.UDP{
		From: netip.AddrPortFrom(guest4, 9), To: toEvil(88), Payload: []byte("data"), EtherFrom: falseMAC,
	})},
	{"the gateway's hardware address", "builtin:spoofed", frame(evilAddress+":89", wiretest.UDP{
		From: netip.AddrPortFrom(guest4, 9), To: toEvil(89), Payload: []byte("data"), EtherFrom: wiretest.GatewayMAC,
	})},
	{"a card with another hardware address", "builtin:spoofed", func(e *escapee) attempt {
		e.sh("ip link set eth0 address " + falseMAC.String())
		defer e.sh("ip link set eth0 address " + wiretest.GuestMAC.String())
		e.sent(evilAddress + ":90")
		return attempt{told: "ff:ff:ff:ff:ff:ff"} // for it has to ask for the gateway first
	}},
	{"another address of the guest's", "builtin:spoofed", func(e *escapee) attempt {
		e.sh("ip address add 10.0.2.78/24 dev eth0")
		defer e.sh("ip address del 10.0.2.78/24 dev eth0")
		return e.sentFrom("10.0.2.78:9", evilAddress+":91")
	}},
	{"the gateway's address as the guest's own", "builtin:spoofed", func(e *escapee) attempt {
		e.sh("ip address add 10.0.2.2/32 dev lo")
		defer e.sh("ip address del 10.0.2.2/32 dev lo")
		return e.sentFrom("10.0.2.2:9", evilAddress+":92")
	}},
	{"the gateway's place, by ARP", "builtin:spoofed", frame(evilAddress+":93",
		wiretest.ARP{Op: 2, SenderIP: wiretest.GatewayIP, TargetIP: wiretest.GatewayIP},
		wiretest.ARP{Op: 2, SenderIP: wiretest.GatewayIP, SenderMAC: wiretest.GatewayMAC, TargetIP: guest4},
		datagramFrom(netip.MustParseAddrPort("10.0.2.2:9"), 93),
	)},
	{"a VLAN", "builtin:protocol", frame(gatewayMAC, tagged(0x8100, wiretest.Bytes(datagramFrom(netip.AddrPortFrom(guest4, 9), 94))))},
	{"a VLAN in a VLAN", "builtin:protocol", frame(gatewayMAC, tagged(0x88a8, tagged(0x8100, wiretest.Bytes(datagramFrom(netip.AddrPortFrom(guest4, 9), 95)))))},
	{"GRE", "builtin:protocol", frame(evilAddress, packetTo(protocolGRE, "\x00\x00\x08\x00data"))},
	{"SCTP", "builtin:protocol", frame(evilAddress, packetTo(protocolSCTP, "\x00\x50\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00"))},
	{"IPsec", "builtin:protocol", frame(evilAddress, packetTo(protocolESP, "data"))},
	{"IPv4 in IPv4", "builtin:protocol", frame(evilAddress, packetTo(unix.IPPROTO_IPIP, string(wiretest.Bytes(packetTo(unix.IPPROTO_UDP, "data"))[14:])))},
	{"IPv6 in IPv4", "builtin:protocol", frame(evilAddress, packetTo(unix.IPPROTO_IPV6, strings.Repeat("\x60", 40)))},
	{"a protocol that nobody has", "builtin:protocol", frame(evilAddress, packetTo(253, "data"))},
	{"a tunnel of pings", "builtin:default", frame(evilAddress, icmp(8, guest4, evil4))},
	{"a tunnel of pings by IPv6", "builtin:default", frame(evilAddress6, icmp(128, guest6, evil6))},
	{"pings to an allowed name's address", "builtin:default", frame(webAddress, icmp(8, guest4, netip.MustParseAddr(webAddress)))},
	{"answers to pings that nobody sent", "builtin:protocol", frame(webAddress, icmp(0, guest4, netip.MustParseAddr(webAddress)))},
	{"ICMP that asks for the time", "builtin:protocol", frame(evilAddress, icmp(13, guest4, evil4))},
	{"answers to pings that nobody sent by IPv6", "builtin:protocol", frame(evilAddress6, icmp(129, guest6, evil6))},
	{"multicast", "builtin:martian", frame("224.0.0.251:5353", wiretest.UDP{From: netip.AddrPortFrom(guest4, 9), To: netip.MustParseAddrPort("224.0.0.251:5353"), Payload: []byte("data")})},
	{"multicast by IPv6", "builtin:martian", frame("[ff02::fb]:5353", wiretest.UDP{From: netip.AddrPortFrom(guest6, 9), To: netip.MustParseAddrPort("[ff02::fb]:5353"), Payload: []byte("data")})},
	{"broadcast", "builtin:martian", frame("255.255.255.255:137", wiretest.UDP{From: netip.AddrPortFrom(guest4, 9), To: netip.MustParseAddrPort("255.255.255.255:137"), Payload: []byte("data")})},
	{"link-local of IPv6", "builtin:link-local", frame("[fe80::1]:80", synTo(netip.MustParseAddrPort("[fe80::1]:80")))},
	{"fragments that hide the port", "builtin:default", frame(evilAddress+":96", wiretest.Fragments(wiretest.IP{
		From: guest4, To: evil4, Proto: unix.IPPROTO_UDP, ID: 96, Payload: datagramFrom(netip.AddrPortFrom(guest4, 9), 96).Datagram(),
	}, 28)...)},
	{"fragments of a connection's beginning", "builtin:default", frame(evilAddress+":97", wiretest.Fragments(wiretest.IP{
		From: guest4, To: evil4, Proto: unix.IPPROTO_TCP, ID: 97, Payload: synTo(toEvil(97)).Segment(),
	}, 28)...)},
	{"a source route through an allowed server", "builtin:default", frame(evilAddress+":98", wiretest.IP{
		From: guest4, To: evil4, Proto: unix.IPPROTO_UDP, Options: []byte{131, 7, 8, 203, 0, 113, 7, 0}, Payload: datagramFrom(netip.AddrPortFrom(guest4, 9), 98).Datagram(),
	})},
	{"options before the port by IPv6", "builtin:default", frame("["+evilAddress6+"]:99", wiretest.IP{
		From: guest6, To: evil6, Proto: unix.IPPROTO_DSTOPTS, Payload: append([]byte{unix.IPPROTO_TCP, 0, 1, 4, 0, 0, 0, 0}, synTo(netip.AddrPortFrom(evil6, 99)).Segment()...),
	})},
	{"GRE behind options by IPv6", "builtin:protocol", frame(evilAddress6, wiretest.IP{
		From: guest6, To: evil6, Proto: unix.IPPROTO_DSTOPTS, Payload: []byte("\x2f\x00\x01\x04\x00\x00\x00\x00\x00\x00\x86\xdddata"),
	})},
}

// meaningless sends what is nothing by itself, and therefore is not told of. It leads nowhere either.
func (e *escapee) meaningless() {
	allowed := netip.MustParseAddrPort(echoServer)
	hidden := wiretest.UDP{From: netip.AddrPortFrom(guest4, 9), To: netip.AddrPortFrom(allowed.Addr(), 9), Payload: []byte(strings.Repeat("data", 8))}
	first := wiretest.IP{From: guest4, To: allowed.Addr(), Proto: unix.IPPROTO_UDP, ID: 1, More: true, Payload: wiretest.UDP{From: hidden.From, To: allowed, Payload: hidden.Payload}.Datagram()[:16]}
	over := first
	over.Payload = hidden.Datagram()[:16]
	rest := first
	rest.Offset, rest.More, rest.Payload = 16, false, hidden.Datagram()[16:]
	e.frames(
		first, over, rest, // a fragment over another, with another port
		wiretest.TCP{From: netip.AddrPortFrom(guest4, 40001), To: toEvil(100), Flags: wiretest.Ack | wiretest.Psh, Window: 1000, Payload: []byte("data")},
		wiretest.TCP{From: netip.AddrPortFrom(guest4, 40001), To: toEvil(100), Flags: wiretest.Rst},
		wiretest.TCP{From: netip.AddrPortFrom(guest4, 40001), To: toEvil(100), Flags: wiretest.Fin | wiretest.Syn | wiretest.Rst | wiretest.Urg},
		wiretest.Mangled{Message: datagramFrom(netip.AddrPortFrom(guest4, 9), 101), Change: func(b []byte) []byte { b[40] ^= 1; return b }}, // a false checksum
	)
	e.kept("after what means nothing") // which came behind it
	if strays := e.wire.strays(e.t); len(strays) > 0 {
		e.Errorf("there left the machine: %s", strings.Join(strays, "; "))
	}
	if got := e.taken(); len(got) > 0 {
		e.Errorf("servers got %q", got)
	}
}

// pastTheNetwork tries the one other way out of the machine, the socket by which it is spoken to: the host takes no calls there.
func (e *escapee) pastTheNetwork() {
	for _, port := range []int{1, 22, 53, 80, 443, 1234, 5000, 8000, 8080, 11434} {
		if a := e.ask(e.t, escape.Request{Do: escape.Vsock, To: fmt.Sprintf("2:%d", port)}); a.Error == "" {
			e.Errorf("the host takes calls at port %d of vsock", port)
		}
	}
}
