package slirp

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/internal/wiretest"
)

func TestBytesGoBothWays(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	c.Send("hello")
	if got := read(t, server, 5); got != "hello" {
		t.Errorf("the server got %q", got)
	}
	c.ExpectAck()
	write(t, server, "good evening")
	if got := c.ExpectBytes(12); got != "good evening" {
		t.Errorf("the guest got %q", got)
	}
}

func TestRefusedIsAReset(t *testing.T) {
	l := listen(t)
	_ = l.Close()
	w := newWorld(t, l.Addr())
	c := w.Open(at(0))
	if p := c.ExpectReset(); p.AckSeq != c.Next || p.Flags&wiretest.Syn != 0 {
		t.Errorf("%v", p)
	}
	if n := w.stat("tcp.refused"); n != 1 {
		t.Errorf("%d refused", n)
	}
}

func TestNoServiceIsAReset(t *testing.T) {
	w := newWorld(t)
	w.Open(at(5)).ExpectReset()
	if n := w.stat("tcp.denied"); n != 1 {
		t.Errorf("%d denied", n)
	}
}

func TestGuestClosesFirst(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	c.Send("request")
	c.Fin()
	if got, err := io.ReadAll(server); string(got) != "request" || err != nil {
		t.Fatalf("the server got %q, %v", got, err)
	}
	// The other direction stays open.
	write(t, server, "a late answer")
	if got := c.ExpectBytes(13); got != "a late answer" {
		t.Errorf("the guest got %q", got)
	}
	_ = server.Close()
	c.ExpectFin()
}

func TestHostClosesFirst(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	write(t, server, "banner")
	if err := server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := c.ExpectBytes(6); got != "banner" {
		t.Errorf("the guest got %q", got)
	}
	c.ExpectFin()
	c.Send("still talking")
	if got := read(t, server, 13); got != "still talking" {
		t.Errorf("the server got %q", got)
	}
	c.Fin()
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the server read %d, %v", n, err)
	}
}

func TestBothCloseAtOnce(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	_ = server.CloseWrite()
	c.Expect(wiretest.Fin)
	c.Fin() // without having acknowledged the other one
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the server read %d, %v", n, err)
	}
	c.ExpectAck()
	c.Seen++
	c.Ack()
	w.Dial(at(0)) // the stack is well
}

func TestGuestResets(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	c.Send("half a req")
	read(t, server, 10)
	c.Rst()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server read %v", err)
	}
}

func TestHostResets(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	c.Send("half a req")
	read(t, server, 10)
	if err := server.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	c.ExpectReset()
}

// RFC 5961 section 3: a RST that is in the window but not next in sequence is answered and not obeyed, one outside the window is
// ignored.
func TestResetOutOfSequenceIsNotObeyed(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	for _, offset := range []uint32{10, 1 << 30, ^uint32(100)} {
		rst := c.Segment(wiretest.Rst, "")
		rst.Seq += offset
		w.Send(rst)
	}
	c.Send("still here")
	if got := read(t, server, 10); got != "still here" {
		t.Errorf("the server got %q", got)
	}
}

func TestDuplicateAndOverlappingSegments(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	piece := func(from int, s string) wiretest.TCP {
		seg := c.Segment(wiretest.Ack, s)
		seg.Seq += uint32(from)
		return seg
	}
	w.Send(
		piece(6, "GHI"), piece(9, "JKL"), // before their time
		piece(0, "ABC"), piece(0, "ABC"), // twice
		piece(2, "CDEFG"), // over both ends of a gap
		piece(4, "EFGHIJKLMNO"),
		piece(12, "MNOP"),
	)
	if got := read(t, server, 16); got != "ABCDEFGHIJKLMNOP" {
		t.Errorf("the server got %q", got)
	}
}

// What lies to the left of the window has been acknowledged: an overlap cannot change it.
func TestOverlapCannotRewriteThePast(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	c.Send("GET /good")
	read(t, server, 9)
	evil := c.Segment(wiretest.Ack, "/evil!")
	evil.Seq -= 5
	w.Send(evil)
	if got := read(t, server, 1); got != "!" {
		t.Errorf("the server got %q", got)
	}
}

func TestMSS(t *testing.T) {
	for name, tc := range map[string]struct {
		options []byte
		most    int
	}{
		"absent":     {nil, 536}, // RFC 9293 section 3.7.1
		"536":        {[]byte{2, 4, 536 >> 8, 536 & 255}, 536},
		"1460":       {[]byte{2, 4, 1460 >> 8, 1460 & 255}, 1460},
		"9000":       {[]byte{2, 4, 9000 >> 8, 9000 & 255}, 1460}, // more than the wire takes
		"tiny":       {[]byte{2, 4, 0, 1}, 1460},
		"with rest":  {[]byte{1, 1, 2, 4, 2, 24, 1, 0}, 536},
		"truncated":  {[]byte{1, 1, 2, 9}, 1460},
		"length one": {[]byte{2, 1, 0, 0}, 1460},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			w := newWorld(t, l.Addr())
			c := w.Dial(at(0), tc.options...)
			if c.MSS != 1460 {
				t.Errorf("it announces an MSS of %d", c.MSS)
			}
			server := accept(t, l)
			const size = 20000
			write(t, server, strings.Repeat("x", size))
			for got := 0; got < size; {
				p := c.G.Expect("bytes", wiretest.Between(c.Remote, c.Local), func(p *wiretest.Packet) bool { return len(p.Payload) > 0 && p.Seq == c.Seen })
				if segment := segmentSize(p); segment > tc.most {
					t.Fatalf("a segment of %d bytes", segment)
				}
				got += len(p.Payload)
				c.Seen += uint32(len(p.Payload))
				c.Ack()
			}
		})
	}
}

// segmentSize is that of the segments that the guest's driver would make of a packet.
func segmentSize(p *wiretest.Packet) int {
	if p.Net.GSOSize > 0 {
		return int(p.Net.GSOSize)
	}
	return len(p.Payload)
}

func TestZeroWindow(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Open(at(0))
	c.Window = 10
	c.Accept()
	server := accept(t, l)
	write(t, server, "0123456789abcdef")
	p := c.Expect(wiretest.Ack | wiretest.Psh)
	if got := string(p.Payload); got != "0123456789" {
		t.Fatalf("the guest got %q through a window of 10", got)
	}
	c.Seen += 10
	c.Window = 0
	c.Ack()
	// A probe asks whether the window has opened (RFC 9293 section 3.8.6.1).
	w.Expect("a window probe", wiretest.Between(c.Remote, c.Local), wiretest.IsTCP, func(p *wiretest.Packet) bool {
		return p.Seq == c.Seen-1 && len(p.Payload) <= 1 || p.Seq == c.Seen && len(p.Payload) == 1
	})
	c.Ack()
	c.Window = 100
	c.Ack()
	if got := c.ExpectBytes(6); got != "abcdef" {
		t.Errorf("the guest got %q", got)
	}
}

// A window may be smaller than what is on the way (RFC 9293 section 3.8.6).
func TestShrinkingWindow(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Open(at(0), 2, 4, 5, 180) // an MSS of 1460
	c.Window = 4000
	c.Accept()
	server := accept(t, l)
	const size = 50000
	go func() { _, _ = io.WriteString(server, strings.Repeat("0123456789", size/10)) }()
	var got strings.Builder
	for i := 0; got.Len() < size; i++ {
		c.Window = []uint16{4000, 3000, 100, 0, 1, 2000, 4000}[i%7]
		p := w.Expect("bytes or a probe", wiretest.Between(c.Remote, c.Local), wiretest.IsTCP)
		if p.Seq == c.Seen {
			got.WriteString(string(p.Payload))
			c.Seen += uint32(len(p.Payload))
		}
		c.Ack()
		c.Window = 4000
		c.Ack()
	}
	if got.String() != strings.Repeat("0123456789", size/10) {
		t.Error("the bytes are others")
	}
}

func TestPortIsUsedAgainAtOnce(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	_ = server.Close() // so that the plugin's end is the one that waits (TIME-WAIT)
	c.ExpectFin()
	c.Fin()
	c.ExpectAck()
	c.Next += 1 << 20
	next := &wiretest.Conn{G: c.G, Local: c.Local, Remote: c.Remote, Next: c.Next + 1, Window: 65535}
	var answer []*wiretest.Packet
	again(t, func() bool { // as a guest asks again, should it have been quicker than the plugin's state
		w.Send(wiretest.TCP{From: c.Local, To: c.Remote, Seq: c.Next, Flags: wiretest.Syn, Window: 65535})
		answer = w.Settled(wiretest.Between(c.Remote, c.Local), wiretest.HasFlags(wiretest.Syn|wiretest.Ack))
		return len(answer) > 0
	})
	next.Seen = answer[0].Seq + 1
	next.Ack()
	server = accept(t, l)
	next.Send("again")
	if got := read(t, server, 5); got != "again" {
		t.Errorf("the server got %q", got)
	}
}
