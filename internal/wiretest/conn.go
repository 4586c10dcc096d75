package wiretest

import (
	"net/netip"
)

// Conn is the guest's end of a TCP connection, of which the test writes every segment: nothing is acknowledged, and nothing sent
// again, unless a method says so.
type Conn struct {
	G             *Guest
	Local, Remote netip.AddrPort
	Next          uint32 // sequence number of the next byte to send
	Seen          uint32 // acknowledgement: the next byte that is expected
	Window        uint16 // that is advertised, not scaled
	MSS           uint16 // that the plugin has announced
}

// initialSequence is as good as any.
const initialSequence = 0xfffff000 // wraps soon

// Open sends a SYN and returns a connection that waits for the answer.
func (g *Guest) Open(to netip.AddrPort, options ...byte) *Conn {
	g.T.Helper()
	g.port++
	from := GuestIP
	if to.Addr().Is6() {
		from = GuestIP6
	}
	c := &Conn{G: g, Local: netip.AddrPortFrom(from, g.port), Remote: to, Next: initialSequence, Window: 65535}
	c.SYN(options...)
	return c
}

// SYN sends the SYN, again if it was sent before.
func (c *Conn) SYN(options ...byte) {
	c.G.T.Helper()
	c.G.Send(TCP{From: c.Local, To: c.Remote, Seq: initialSequence, Flags: Syn, Window: c.Window, Options: options})
	c.Next = initialSequence + 1
}

// Dial opens a connection and completes the handshake. The SYN has no options unless some are given.
func (g *Guest) Dial(to netip.AddrPort, options ...byte) *Conn {
	g.T.Helper()
	c := g.Open(to, options...)
	c.Accept()
	return c
}

// Accept takes the SYN-ACK and completes the handshake.
func (c *Conn) Accept() *Packet {
	c.G.T.Helper()
	p := c.Expect(Syn | Ack)
	if p.AckSeq != c.Next {
		c.G.T.Fatalf("the SYN-ACK acknowledges %d, not %d", p.AckSeq, c.Next)
	}
	c.Seen = p.Seq + 1
	c.MSS = mss(p.Options)
	c.Ack()
	return p
}

// mss reads the option, 0 without one.
func mss(options []byte) uint16 {
	for len(options) > 1 {
		switch {
		case options[0] == 0:
			return 0
		case options[0] == 1:
			options = options[1:]
			continue
		case options[0] == 2 && len(options) >= 4:
			return uint16(options[2])<<8 | uint16(options[3])
		}
		if n := int(options[1]); n < 2 || n > len(options) {
			return 0
		}
		options = options[options[1]:]
	}
	return 0
}

// Segment returns a segment of the connection with what is next.
func (c *Conn) Segment(flags byte, payload string) TCP {
	return TCP{From: c.Local, To: c.Remote, Seq: c.Next, Ack: c.Seen, Flags: flags, Window: c.Window, Payload: []byte(payload)}
}

// Send sends bytes.
func (c *Conn) Send(payload string) {
	c.G.T.Helper()
	c.G.Send(c.Segment(Ack|Psh, payload))
	c.Next += uint32(len(payload))
}

// Ack acknowledges what was seen.
func (c *Conn) Ack() {
	c.G.T.Helper()
	c.G.Send(c.Segment(Ack, ""))
}

// Fin sends a FIN.
func (c *Conn) Fin() {
	c.G.T.Helper()
	c.G.Send(c.Segment(Ack|Fin, ""))
	c.Next++
}

// Rst sends a RST.
func (c *Conn) Rst() {
	c.G.T.Helper()
	c.G.Send(c.Segment(Rst|Ack, ""))
}

// Expect waits for a segment of the connection with all of these flags, and any others.
func (c *Conn) Expect(flags byte) *Packet {
	c.G.T.Helper()
	return c.G.Expect("a segment "+flagNames(flags)+" from "+c.Remote.String(), Between(c.Remote, c.Local), HasFlags(flags))
}

// ExpectAck waits until everything that was sent has been acknowledged.
func (c *Conn) ExpectAck() *Packet {
	c.G.T.Helper()
	return c.G.Expect("an acknowledgement of everything", Between(c.Remote, c.Local), HasFlags(Ack), func(p *Packet) bool { return p.AckSeq == c.Next })
}

// ExpectBytes takes the next n bytes in order, acknowledges each piece, and returns them.
func (c *Conn) ExpectBytes(n int) string {
	c.G.T.Helper()
	var b []byte
	for len(b) < n {
		p := c.G.Expect("bytes", Between(c.Remote, c.Local), func(p *Packet) bool { return p.Proto == protoTCP && p.Seq == c.Seen && len(p.Payload) > 0 })
		b = append(b, p.Payload...)
		c.Seen += uint32(len(p.Payload))
		if p.Flags&Fin != 0 {
			c.G.aside = append(c.G.aside, finOf(p))
		}
		c.Ack()
	}
	return string(b)
}

// finOf is the FIN of a segment that has bytes too, as one of its own.
func finOf(p *Packet) *Packet {
	fin := *p
	fin.Seq += uint32(len(p.Payload))
	fin.Payload = nil
	return &fin
}

// ExpectFin takes the FIN that comes next and acknowledges it.
func (c *Conn) ExpectFin() {
	c.G.T.Helper()
	c.G.Expect("a FIN", Between(c.Remote, c.Local), HasFlags(Fin), func(p *Packet) bool { return p.Seq == c.Seen && len(p.Payload) == 0 })
	c.Seen++
	c.Ack()
}

// ExpectReset waits for a RST.
func (c *Conn) ExpectReset() *Packet {
	c.G.T.Helper()
	return c.Expect(Rst)
}
