package slirp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
)

// syn is a request to open a connection to the first service.
func syn() wiretest.TCP {
	return wiretest.TCP{From: addrPort(wiretest.GuestIP, 20000), To: at(0), Flags: wiretest.Syn, Window: 1000}
}

func set(at int, v byte) func([]byte) []byte {
	return func(b []byte) []byte { b[at] = v; return b }
}

// ip and tcp are where headers begin in a frame.
const atIP, atTCP = 14, 34

// Each frame is dropped and counted by its reason, and nothing else happens.
func TestHostileFrames(t *testing.T) {
	other := net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0xbb, 0xcc}
	stranger := addrPort(netip.MustParseAddr("10.0.2.77"), 20000)
	mangled := func(change func([]byte) []byte) wiretest.Message {
		return wiretest.Mangled{Message: syn(), Change: change}
	}
	spoofed := syn()
	spoofed.From = stranger
	impostor := syn()
	impostor.EtherFrom = other
	spoofed6 := syn()
	spoofed6.From, spoofed6.To = addrPort(netip.MustParseAddr("fd00:2::99"), 1), addrPort(wiretest.GatewayIP6, 80)
	for name, tc := range map[string]struct {
		m       wiretest.Message
		counter string
	}{
		"no Ethernet header":          {wiretest.Raw("too short"), "nic.dropped.malformed"},
		"empty":                       {wiretest.Raw{}, "nic.dropped.malformed"},
		"no IP header":                {wiretest.Raw(wiretest.Ether(wiretest.GuestMAC, wiretest.GatewayMAC, 0x0800)), "nic.dropped.malformed"},
		"half an IP header":           {mangled(func(b []byte) []byte { return b[:atIP+10] }), "nic.dropped.malformed"},
		"version":                     {mangled(set(atIP, 0x65)), "nic.dropped.malformed"},
		"header length too small":     {mangled(set(atIP, 0x44)), "nic.dropped.malformed"},
		"header length too large":     {mangled(set(atIP, 0x4f)), "nic.dropped.malformed"},
		"total length too large":      {mangled(set(atIP+2, 0xff)), "nic.dropped.malformed"},
		"total length too small":      {mangled(set(atIP+3, 10)), "nic.dropped.malformed"},
		"IPv6 length":                 {wiretest.Mangled{Message: wiretest.IP{From: wiretest.GuestIP6, To: wiretest.GatewayIP6, Proto: 6}, Change: set(atIP+5, 200)}, "nic.dropped.malformed"},
		"IP checksum":                 {mangled(set(atIP+10, 0x12)), "nic.dropped.checksum"},
		"TCP checksum":                {mangled(set(atTCP+16, 0x12)), "nic.dropped.checksum"},
		"UDP checksum":                {wiretest.Mangled{Message: wiretest.UDP{From: addrPort(wiretest.GuestIP, 1), To: at(0), Payload: []byte("x")}, Change: set(atTCP+6, 0x12)}, "nic.dropped.checksum"},
		"ICMP checksum":               {wiretest.Mangled{Message: wiretest.Echo{From: wiretest.GuestIP, To: wiretest.GatewayIP}, Change: set(atTCP+2, 0x12)}, "nic.dropped.checksum"},
		"another source":              {spoofed, "nic.dropped.source"},
		"another IPv6 source":         {spoofed6, "nic.dropped.source"},
		"another hardware address":    {impostor, "nic.dropped.hardware_address"},
		"for another hardware addr.":  {mangled(set(5, 0x99)), "nic.dropped.hardware_address"},
		"an unknown protocol":         {wiretest.Raw(append(wiretest.Ether(wiretest.GuestMAC, wiretest.GatewayMAC, 0x88cc), 1, 2, 3)), "nic.dropped.protocol"},
		"a VLAN tag":                  {wiretest.Raw(append(wiretest.Ether(wiretest.GuestMAC, wiretest.GatewayMAC, 0x8100), 0, 1, 8, 0)), "nic.dropped.protocol"},
		"for the guest itself":        {wiretest.TCP{From: addrPort(wiretest.GuestIP, 1), To: addrPort(wiretest.GuestIP, 2), Flags: wiretest.Syn}, "nic.dropped.martian"},
		"for 0.0.0.0":                 {martian("0.0.0.0"), "nic.dropped.martian"},
		"for this network":            {martian("0.1.2.3"), "nic.dropped.martian"},
		"for loopback":                {martian("127.0.0.1"), "nic.dropped.martian"},
		"for everybody":               {martian("255.255.255.255"), "nic.dropped.martian"},
		"for a group":                 {martian("224.0.0.251"), "nic.dropped.martian"},
		"for class E":                 {martian("240.0.0.1"), "nic.dropped.martian"},
		"for IPv6 loopback":           {martian("::1"), "nic.dropped.martian"},
		"for IPv4-mapped loopback":    {martian("::ffff:127.0.0.1"), "nic.dropped.martian"},
		"for IPv4-mapped anything":    {martian("::ffff:192.0.2.1"), "nic.dropped.martian"},
		"longer than the MTU":         {wiretest.UDP{From: addrPort(wiretest.GuestIP, 1), To: at(0), Payload: make([]byte, 1500)}, "nic.dropped.offload"},
		"a DHCP reply of the guest's": {wiretest.UDP{From: addrPort(wiretest.GuestIP, 67), To: addrPort(wiretest.GatewayIP, 68), Payload: make([]byte, 300)}, "udp.denied"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, echo(t))
			w.Send(tc.m)
			w.ExpectNothing("an answer", wiretest.IsTCP)
			if n := w.stat(tc.counter); n != 1 {
				t.Errorf("%s is %d", tc.counter, n)
			}
			w.Dial(at(0)) // the rest goes on
		})
	}
}

func martian(to string) wiretest.Message {
	dest := netip.MustParseAddr(to)
	from := wiretest.GuestIP
	if dest.Is6() {
		from = wiretest.GuestIP6
	}
	return wiretest.TCP{From: addrPort(from, 20000), To: addrPort(dest, 80), Flags: wiretest.Syn, Window: 1000}
}

// Offload headers that lie about their frame.
func TestLyingOffloads(t *testing.T) {
	segment := wiretest.TCP{From: addrPort(wiretest.GuestIP, 20000), To: at(0), Flags: wiretest.Ack, Payload: make([]byte, 3000)}
	datagram := wiretest.UDP{From: addrPort(wiretest.GuestIP, 20000), To: at(0), Payload: make([]byte, 3000)}
	good := link.NetHeader{
		Flags: link.NetNeedsChecksum, GSOType: link.NetGSOTCPv4, GSOSize: 1460, HeaderLen: 54, ChecksumStart: atTCP, ChecksumOffset: 16,
	}
	with := func(change func(*link.NetHeader)) link.NetHeader {
		h := good
		change(&h)
		return h
	}
	for name, tc := range map[string]struct {
		h link.NetHeader
		m wiretest.Message
	}{
		"UDP as a TCP segment":        {good, datagram},
		"IPv4 as IPv6":                {with(func(h *link.NetHeader) { h.GSOType = link.NetGSOTCPv6 }), segment},
		"unknown segmentation":        {with(func(h *link.NetHeader) { h.GSOType = 3 }), segment},
		"segments of nothing":         {with(func(h *link.NetHeader) { h.GSOSize = 0 }), segment},
		"no partial checksum":         {with(func(h *link.NetHeader) { h.Flags = 0 }), segment},
		"checksum in the IP header":   {with(func(h *link.NetHeader) { h.ChecksumStart, h.ChecksumOffset = atIP, 10 }), segment},
		"checksum outside":            {with(func(h *link.NetHeader) { h.ChecksumStart = 60000 }), segment},
		"checksum of the wrong field": {with(func(h *link.NetHeader) { h.ChecksumOffset = 4 }), segment},
		"headers longer than frame":   {with(func(h *link.NetHeader) { h.HeaderLen = 60000 }), segment},
		"only ECN":                    {with(func(h *link.NetHeader) { h.GSOType = link.NetGSOECN }), segment},
		"a fragment as a segment": {good, wiretest.IP{
			From: wiretest.GuestIP, To: wiretest.GatewayIP, Proto: 6, More: true, Payload: segment.Segment(),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, echo(t))
			w.Transmit(0, tc.h, tc.m)
			w.Settled()
			if n := w.stat("nic.dropped.offload"); n != 1 {
				t.Errorf("nic.dropped.offload is %d", n)
			}
			w.Dial(at(0))
		})
	}
}

// A driver that has not accepted offloads cannot use them.
func TestOffloadsThatWereNotAccepted(t *testing.T) {
	w := newWorld(t, echo(t))
	w.Reset(0)
	w.Transmit(0, link.NetHeader{Flags: link.NetNeedsChecksum, ChecksumStart: atTCP, ChecksumOffset: 16}, syn())
	w.Settled()
	if n := w.stat("nic.dropped.offload"); n != 1 {
		t.Errorf("nic.dropped.offload is %d", n)
	}
}

func TestIPOptions(t *testing.T) {
	for name, options := range map[string][]byte{
		"nothing":           {1, 1, 1, 0},
		"record route":      append([]byte{7, 7, 4}, make([]byte, 5)...),
		"zero length":       {7, 0, 0, 0},
		"longer than there": {7, 40, 4, 0},
		"source route":      append([]byte{131, 7, 4, 192, 0, 2, 1}, 0),
		"bad pointer":       {68, 8, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			w := newWorld(t, l.Addr())
			w.Send(wiretest.IP{From: wiretest.GuestIP, To: wiretest.GatewayIP, Proto: 6, Options: options, Payload: syn().Segment()})
			w.Settled()
			c := w.Dial(at(0)) // whatever became of that packet
			c.Send("x")
			c.ExpectAck()
		})
	}
}

func TestDatagramsInFragments(t *testing.T) {
	payload := make([]byte, 8000)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	d := wiretest.UDP{From: addrPort(wiretest.GuestIP, 5000), To: addrPort(testNet, 9), Payload: payload}
	whole := wiretest.IP{From: wiretest.GuestIP, To: testNet, Proto: 17, ID: 77, Payload: d.Datagram()}
	bad := whole
	bad.Payload = append([]byte(nil), whole.Payload...)
	binary.BigEndian.PutUint16(bad.Payload[6:], 0x1234)

	for name, tc := range map[string]struct {
		order  func(f []wiretest.Message) []wiretest.Message
		packet wiretest.IP
		came   bool
	}{
		"in order":       {func(f []wiretest.Message) []wiretest.Message { return f }, whole, true},
		"backwards":      {backwards, whole, true},
		"twice":          {func(f []wiretest.Message) []wiretest.Message { return append(f[:3:3], f...) }, whole, true},
		"one is missing": {func(f []wiretest.Message) []wiretest.Message { return append(f[:2:2], f[3:]...) }, whole, false},
		"a bad checksum": {func(f []wiretest.Message) []wiretest.Message { return f }, bad, false},
		"overlapping": {func(f []wiretest.Message) []wiretest.Message {
			return append(f[:1:1], append([]wiretest.Message{over(whole)}, f[1:]...)...)
		}, whole, false},
		"larger than all": {func(f []wiretest.Message) []wiretest.Message { return append(f, pastTheEnd(whole)) }, whole, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Send(tc.order(wiretest.Fragments(tc.packet, 1500))...)
			w.Settled()
			// The policy of the built-in rules denies the address: that it was asked shows that a whole datagram came.
			if n := w.stat("udp.denied"); (n == 1) != tc.came {
				t.Errorf("%d datagrams came", n)
			}
		})
	}
}

// over is a fragment that lies over the first one, and has another port.
func over(p wiretest.IP) wiretest.Message {
	p.Payload = append([]byte(nil), p.Payload[:16]...)
	p.Payload[3]++
	p.More = true
	return p
}

// testNet is denied by a built-in rule, so that nothing leaves the host.
var testNet = netip.MustParseAddr("169.254.169.254")

func backwards(f []wiretest.Message) []wiretest.Message {
	var out []wiretest.Message
	for i := range f {
		out = append(out, f[len(f)-1-i])
	}
	return out
}

// pastTheEnd is a fragment that reaches beyond 65535 bytes.
func pastTheEnd(p wiretest.IP) wiretest.Message {
	p.Offset, p.Payload, p.More = 65528, make([]byte, 1400), false
	return p
}

// Fragments of packets that are never complete cost bounded memory, and nothing else.
func TestFloodOfIncompleteFragments(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	piece := make([]byte, 1400)
	for i := range 20000 {
		w.Send(wiretest.IP{From: wiretest.GuestIP, To: testNet, Proto: 17, ID: uint16(i), More: true, Offset: i % 40 * 1400, Payload: piece})
	}
	c := w.Dial(at(0))
	accept(t, l)
	c.Send("x")
	c.ExpectAck()
	if heap := heapInUse(); heap > 64<<20 {
		t.Errorf("%d MiB of heap", heap>>20)
	}
}
