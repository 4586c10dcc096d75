package slirp

import (
	"testing"

	"github.com/voidbox-run/voidbox/internal/wiretest"
)

// An answer carries the acknowledgement of the question, whatever time the server takes: nothing is repeated and nothing is late.
func TestAcknowledgements(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	// Nobody answers: the acknowledgement comes alone, a moment later.
	c.Send("no answer")
	if p := c.ExpectAck(); len(p.Payload) != 0 || p.AckSeq != c.Next {
		t.Errorf("an acknowledgement of %d with %d bytes, and %d were sent", p.AckSeq, len(p.Payload), c.Next)
	}
	read(t, server, len("no answer"))
	// Many small ones are acknowledged all the same.
	for range 100 {
		c.Send("x")
	}
	read(t, server, 100)
	w.Expect("an acknowledgement of all", wiretest.Between(c.Remote, c.Local), wiretest.IsTCP, func(p *wiretest.Packet) bool { return p.AckSeq == c.Next })
	// A repeated segment is answered each time.
	c.Next -= 5
	for range 3 {
		w.Send(c.Segment(wiretest.Ack|wiretest.Psh, "xxxxx"))
		w.Expect("an acknowledgement", wiretest.Between(c.Remote, c.Local), wiretest.IsTCP, func(p *wiretest.Packet) bool { return p.AckSeq == c.Next+5 })
	}
	c.Next += 5
	// An answer has it with it.
	echo := make(chan struct{})
	go func() {
		defer close(echo)
		write(t, server, read(t, server, 4))
	}()
	c.Send("ping")
	if got := c.ExpectBytes(4); got != "ping" {
		t.Errorf("the guest got %q", got)
	}
	<-echo
}

// Two connections that ask at once each get what is theirs.
func TestAcknowledgementsOfTwoConnections(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	a, b := w.Dial(at(0)), w.Dial(at(0))
	for _, server := range []interface{ Close() error }{accept(t, l), accept(t, l)} {
		defer server.Close()
	}
	for range 20 {
		a.Send("from a")
		b.Send("from b")
		a.ExpectAck()
		b.ExpectAck()
	}
}
