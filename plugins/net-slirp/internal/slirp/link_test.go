package slirp

import (
	"io"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
)

// Whatever the driver takes, the bytes are the same. The scripted guest verifies every checksum.
func TestOffloadsTowardsTheGuest(t *testing.T) {
	for name, features := range map[string]link.Features{
		"none": 0, "checksum": link.FeatureGuestChecksum,
		"segments": link.FeatureGuestChecksum | link.FeatureGuestTSO4 | link.FeatureGuestTSO6, "all": link.NetFeatures,
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "/IPv4", true: "/IPv6"}[v6], func(t *testing.T) {
				l := listen(t)
				spec := wiretest.Layout()
				to := at(0)
				if v6 {
					to = addrPort(wiretest.GatewayIP6, servicePort)
				}
				spec.Services = append(spec.Services, service(to, l.Addr()))
				w := newWorldWith(t, spec)
				w.Reset(features)
				c := w.Dial(to, 2, 4, 5, 0xb4)
				server := accept(t, l)
				sent := strings.Repeat("the quick brown fox ", 20000)
				go func() { _, _ = io.WriteString(server, sent) }()
				largest := 0
				var got strings.Builder
				for got.Len() < len(sent) {
					p := w.Expect("bytes", wiretest.Between(c.Remote, c.Local), func(p *wiretest.Packet) bool { return len(p.Payload) > 0 && p.Seq == c.Seen })
					if err := p.Net.Check(len(p.Raw), features, link.TowardsGuest); err != nil {
						t.Fatal(err)
					}
					largest = max(largest, len(p.Payload))
					got.Write(p.Payload)
					c.Seen += uint32(len(p.Payload))
					c.Ack()
				}
				if got.String() != sent {
					t.Error("the bytes are others")
				}
				if whole := largest > 1500; whole != (features&link.FeatureGuestTSO4 != 0) {
					t.Errorf("the largest segment has %d bytes", largest)
				}
			})
		}
	}
}

// A segment of 64 KiB of the guest's arrives whole, with its checksum left to be done.
func TestOffloadsFromTheGuest(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0), 2, 4, 5, 0xb4, 1, 3, 3, 7)
	server := accept(t, l)
	sent := strings.Repeat("0123456789", 2000)
	segment := c.Segment(wiretest.Ack, sent)
	w.Transmit(0, link.NetHeader{
		Flags: link.NetNeedsChecksum, GSOType: link.NetGSOTCPv4, GSOSize: 1460, HeaderLen: 54, ChecksumStart: atTCP, ChecksumOffset: 16,
	}, wiretest.Mangled{Message: segment, Change: set(atTCP+16, 0x55)})
	if got := read(t, server, len(sent)); got != sent {
		t.Error("the bytes are others")
	}
}

// A guest whose monitor came back goes on with a new link.
func TestGuestReboots(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	old := w.Dial(at(0))
	server := accept(t, l)
	old.Send("before")
	read(t, server, 6)

	w.Close() // the monitor is gone
	w.Guest = wiretest.Connect(t, w.Attached, 1, link.NetFeatures)
	// The new kernel chooses the same port, and learns that the plugin remembers another connection (RFC 9293 section 3.10.7.4). Its
	// reset ends that, and its next attempt works.
	fresh := w.Open(at(0))
	if fresh.Local != old.Local {
		t.Fatalf("ports %v and %v", old.Local, fresh.Local)
	}
	p := fresh.Expect(wiretest.Ack)
	w.Send(wiretest.TCP{From: fresh.Local, To: fresh.Remote, Seq: p.AckSeq, Flags: wiretest.Rst})
	if n, err := server.Read(make([]byte, 1)); err == nil {
		t.Errorf("the server read %d bytes", n)
	}
	again(t, func() bool {
		fresh.SYN()
		return len(w.Settled(wiretest.Between(fresh.Remote, fresh.Local), wiretest.HasFlags(wiretest.Syn|wiretest.Ack))) > 0
	})
	other := accept(t, l)
	fresh.SYN() // which has been answered before the test could see it
	fresh.Accept()
	fresh.Send("after")
	if got := read(t, other, 5); got != "after" {
		t.Errorf("the server got %q", got)
	}
}

func TestDriverResetsInMidFlow(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	for range 5 {
		w.Reset(0)
		w.Reset(link.NetFeatures)
		c.Send("x")
		if got := read(t, server, 1); got != "x" {
			t.Fatalf("the server got %q", got)
		}
	}
}

// Frames of a flow come on the lane on which the guest sends it.
func TestQueuePairs(t *testing.T) {
	l := listen(t)
	spec := wiretest.Layout()
	spec.QueuePairs = 4
	w := newWorldWith(t, spec, l.Addr())
	for range 8 {
		c := w.Dial(at(0))
		server := accept(t, l)
		c.Send("x")
		read(t, server, 1)
		write(t, server, "y")
		c.ExpectBytes(1)
	}
}

// A guest that does not read cannot make the plugin keep more than its windows, nor stop what it sends.
func TestGuestThatDoesNotRead(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	before := heapInUse()
	const conns = 50
	for range conns {
		c := w.Open(at(0), 2, 4, 5, 0xb4, 1, 3, 3, 14) // windows of up to 1 GiB
		p := c.Expect(wiretest.Syn | wiretest.Ack)
		c.Seen = p.Seq + 1
		c.Ack()
		server := accept(t, l)
		go func() { // as much as goes
			chunk := make([]byte, 1<<20)
			for range 64 {
				if _, err := server.Write(chunk); err != nil {
					return
				}
			}
		}()
	}
	c := w.Dial(at(0))
	server := accept(t, l)
	c.Send("still here")
	read(t, server, 10)
	if grown := int64(heapInUse()) - int64(before); grown > 256<<20 {
		t.Errorf("%d MiB more of heap", grown>>20)
	}
}
