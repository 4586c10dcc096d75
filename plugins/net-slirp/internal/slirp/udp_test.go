package slirp

import (
	"bytes"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// hostServer returns an address of the host's, and an attachment whose policy names it: the guest cannot reach it otherwise, and the
// host's loopback never.
func hostServer(t *testing.T) (netip.Addr, network.Attachment) {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	spec := wiretest.Layout()
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || !p.Addr().Is4() {
			continue
		}
		spec.Policy.Rules = []network.Rule{{Origin: "test:1", Action: network.Allow, CIDR: netip.PrefixFrom(p.Addr(), 32)}}
		return p.Addr(), spec
	}
	unavailable(t, "this host has no address beside loopback, and the guest cannot reach that")
	return netip.Addr{}, spec
}

func listenUDP(t *testing.T, host netip.Addr) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestDatagramsBothWays(t *testing.T) {
	host, spec := hostServer(t)
	for _, size := range []int{0, 1, 1400, 1472, 1473, 9000, 65507} {
		server, addr := listenUDP(t, host)
		w := newWorldWith(t, spec)
		payload := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		guest := addrPort(wiretest.GuestIP, 5000)
		d := wiretest.UDP{From: guest, To: addr, Payload: payload}
		w.Send(wiretest.Fragments(wiretest.IP{From: wiretest.GuestIP, To: host, Proto: 17, ID: 9, Payload: d.Datagram()}, 1500)...)
		b := make([]byte, 65536)
		n, from, err := server.ReadFromUDPAddrPort(b)
		if err != nil || !bytes.Equal(b[:n], payload) {
			t.Fatalf("the server got %d bytes of %d, %v", n, size, err)
		}
		if _, err := server.WriteToUDPAddrPort(b[:n], from); err != nil {
			t.Fatal(err)
		}
		if got := expectDatagram(w, addr, guest, size); !bytes.Equal(got, payload) {
			t.Errorf("the guest got %d bytes of %d", len(got), size)
		}
	}
}

// expectDatagram puts a datagram together that may come in fragments.
func expectDatagram(w *world, from, to netip.AddrPort, size int) []byte {
	w.T.Helper()
	const header = 8
	if size+header+20 <= w.spec.MTU {
		return w.Expect("a datagram", wiretest.Between(from, to), wiretest.IsUDP).Payload
	}
	whole := make([]byte, size+header)
	for got := 0; got < len(whole); {
		p := w.Expect("a fragment", wiretest.FromAddr(from.Addr()), func(p *wiretest.Packet) bool { return p.More || p.Offset > 0 })
		got += copy(whole[p.Offset:], p.Payload)
	}
	return whole[header:]
}

func TestLateReply(t *testing.T) {
	host, spec := hostServer(t)
	server, addr := listenUDP(t, host)
	w := newWorldWith(t, spec)
	guest := addrPort(wiretest.GuestIP, 5000)
	w.Send(wiretest.UDP{From: guest, To: addr, Payload: []byte("q")})
	b := make([]byte, 16)
	_, from, err := server.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // as many as the server likes
		if _, err := server.WriteToUDPAddrPort([]byte{byte('a' + i)}, from); err != nil {
			t.Fatal(err)
		}
		if got := expectDatagram(w, addr, guest, 1); got[0] != byte('a'+i) {
			t.Errorf("reply %d is %q", i, got)
		}
	}
	if n := w.stat("udp.opened"); n != 1 {
		t.Errorf("%d flows", n)
	}
}

// Only the peer of a flow can answer.
func TestAnswersOfStrangersDoNotCome(t *testing.T) {
	host, spec := hostServer(t)
	server, addr := listenUDP(t, host)
	stranger, _ := listenUDP(t, host)
	w := newWorldWith(t, spec)
	guest := addrPort(wiretest.GuestIP, 5000)
	w.Send(wiretest.UDP{From: guest, To: addr, Payload: []byte("q")})
	_, from, err := server.ReadFromUDPAddrPort(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stranger.WriteToUDPAddrPort([]byte("evil"), from)
	_, _ = server.WriteToUDPAddrPort([]byte("good"), from)
	if got := expectDatagram(w, addr, guest, 4); string(got) != "good" {
		t.Errorf("the guest got %q", got)
	}
	w.ExpectNothing("a stranger's datagram", wiretest.IsUDP)
}

func TestPortUnreachable(t *testing.T) {
	host, spec := hostServer(t)
	server, addr := listenUDP(t, host)
	_ = server.Close()
	w := newWorldWith(t, spec)
	guest := addrPort(wiretest.GuestIP, 5000)
	w.Send(wiretest.UDP{From: guest, To: addr, Payload: []byte("anybody there?")})
	p := w.Expect("port unreachable", wiretest.IsICMP(3, 3))
	// It quotes the guest's own datagram, by which its kernel finds the socket (RFC 792).
	quoted := p.Payload
	if len(quoted) < 28 || !bytes.Equal(quoted[12:16], guest.Addr().AsSlice()) || !bytes.Equal(quoted[16:20], host.AsSlice()) ||
		!bytes.Equal(quoted[20:24], []byte{byte(guest.Port() >> 8), byte(guest.Port()), byte(addr.Port() >> 8), byte(addr.Port())}) {
		t.Errorf("it quotes % x", quoted)
	}
}

func TestDeniedDatagramIsProhibited(t *testing.T) {
	w := newWorld(t)
	w.Send(wiretest.UDP{From: addrPort(wiretest.GuestIP, 5000), To: addrPort(testNet, 80), Payload: []byte("secrets?")})
	w.Expect("prohibited", wiretest.IsICMP(3, 13))
}

func TestPublishedUDP(t *testing.T) {
	spec := wiretest.Layout()
	spec.Published = []network.PublishedPort{{Protocol: network.UDP, GuestPort: 6000}}
	w := newWorldWith(t, spec)
	guest := addrPort(wiretest.GuestIP, 6000)
	var clients []*net.UDPConn
	seen := make(map[netip.AddrPort]bool)
	for i := range 3 {
		client, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(w.Attached.Published[0]))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		clients = append(clients, client)
		write(t, client, string(rune('a'+i)))
		p := w.Expect("a client's datagram", wiretest.IsUDP, func(p *wiretest.Packet) bool { return p.Dest == guest })
		if p.Source.Addr() != wiretest.GatewayIP || seen[p.Source] {
			t.Errorf("client %d appears as %v", i, p.Source)
		}
		seen[p.Source] = true
		w.Send(wiretest.UDP{From: guest, To: p.Source, Payload: append(p.Payload, '!')})
	}
	for i, client := range clients {
		if got := read(t, client, 2); got != string(rune('a'+i))+"!" {
			t.Errorf("client %d got %q", i, got)
		}
	}
	// The port is a way in, not a way out.
	for from := range seen {
		w.Send(wiretest.UDP{From: addrPort(wiretest.GuestIP, 6001), To: from, Payload: []byte("out")})
		w.Expect("prohibited", wiretest.IsICMP(3, 13))
	}
}

func TestIdleFlowsAreMany(t *testing.T) {
	host, spec := hostServer(t)
	_, addr := listenUDP(t, host)
	w := newWorldWith(t, spec)
	for i := range 5000 { // more than there may be
		w.Send(wiretest.UDP{From: addrPort(wiretest.GuestIP, uint16(10000+i)), To: addr, Payload: []byte("x")})
	}
	w.Settled()
	if n := w.stat("udp.flows"); n > 4096 {
		t.Errorf("%d flows", n)
	}
	if n := w.stat("udp.closed"); n < 900 {
		t.Errorf("%d flows made way", n)
	}
}

// A service of datagrams is reached at its address by UDP, and by nothing else.
func TestServiceOfDatagrams(t *testing.T) {
	server, addr := listenUDP(t, netip.MustParseAddr("127.0.0.1"))
	spec := wiretest.Layout()
	spec.Policy = network.Policy{Default: network.Deny}
	spec.Services = []network.Service{{Name: "time", Guest: at(0), UDPAddress: addr.String()}}
	w := newWorldWith(t, spec)
	guest := addrPort(wiretest.GuestIP, 5000)
	w.Send(wiretest.UDP{From: guest, To: at(0), Payload: []byte("what time is it")})
	b := make([]byte, 100)
	n, from, err := server.ReadFromUDPAddrPort(b)
	if err != nil || string(b[:n]) != "what time is it" {
		t.Fatalf("the server got %q, %v", b[:n], err)
	}
	if _, err := server.WriteToUDPAddrPort([]byte("late"), from); err != nil {
		t.Fatal(err)
	}
	if got := expectDatagram(w, at(0), guest, 4); string(got) != "late" {
		t.Errorf("the guest got %q", got)
	}
	for flow, want := range map[network.Flow]network.Verdict{
		{Protocol: network.UDP, Host: "time", Port: at(0).Port()}: {Action: network.Allow, Rule: "builtin:service"},
		{Protocol: network.TCP, Host: "time", Port: at(0).Port()}: {Rule: "builtin:gateway"},
	} {
		if v, err := w.net.Explain(t.Context(), flow); err != nil || v.Action != want.Action || v.Rule != want.Rule {
			t.Errorf("%+v: %+v, %v", flow, v, err)
		}
	}
	w.Open(at(0)).ExpectReset()
}

// A service that nobody serves is refused, as any closed port.
func TestServiceOfDatagramsThatIsNotThere(t *testing.T) {
	server, addr := listenUDP(t, netip.MustParseAddr("127.0.0.1"))
	_ = server.Close()
	spec := wiretest.Layout()
	spec.Services = []network.Service{{Name: "time", Guest: at(0), UDPAddress: addr.String()}}
	w := newWorldWith(t, spec)
	w.Send(wiretest.UDP{From: addrPort(wiretest.GuestIP, 5000), To: at(0), Payload: []byte("anybody?")})
	w.Expect("port unreachable", wiretest.IsICMP(3, 3))
}

// A flow that nobody has answered ends after half a minute without a datagram, one that was answered after two.
func TestIdleFlowsEnd(t *testing.T) {
	server, addr := listenUDP(t, netip.MustParseAddr("127.0.0.1"))
	spec := wiretest.Layout()
	spec.Services = []network.Service{{Name: "time", Guest: at(0), UDPAddress: addr.String()}}
	var passed atomic.Int64 // beyond the real time
	n := newNetworkBy(t, func() time.Time { return time.Now().Add(time.Duration(passed.Load())) })
	w := &world{Guest: wiretest.Attach(t, n, spec), net: n, spec: spec}
	w.Settled()
	next := collect(t, w)
	asked, answered := addrPort(wiretest.GuestIP, 5000), addrPort(wiretest.GuestIP, 5001)
	w.Send(wiretest.UDP{From: asked, To: at(0), Payload: []byte("anybody?")}, wiretest.UDP{From: answered, To: at(0), Payload: []byte("you?")})
	b := make([]byte, 100)
	for range 2 {
		n, from, err := server.ReadFromUDPAddrPort(b)
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:n]) == "you?" {
			if _, err := server.WriteToUDPAddrPort([]byte("yes"), from); err != nil {
				t.Fatal(err)
			}
		}
	}
	expectDatagram(w, at(0), answered, 3)
	for _, step := range []struct {
		pass  time.Duration
		flows uint64
		ends  netip.AddrPort // the zero one for none
	}{{20 * time.Second, 2, netip.AddrPort{}}, {15 * time.Second, 1, asked}, {80 * time.Second, 1, netip.AddrPort{}}, {10 * time.Second, 0, answered}} {
		passed.Add(int64(step.pass))
		w.net.att.udp.Sweep()
		if got := w.stat("udp.flows"); got != step.flows {
			t.Fatalf("%d flows after %s, want %d", got, time.Duration(passed.Load()), step.flows)
		}
		if step.ends.IsValid() {
			if e := next(network.Closed); e.Source != step.ends.String() {
				t.Errorf("closed %+v, want %v", e, step.ends)
			}
		}
	}
}
