package dns

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestTruncationAndTCP(t *testing.T) {
	up := newUpstream(t)
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("many.example. 60 A 9.9.9.%d", i))
	}
	up.has("A many.example.", many...)
	up.has("A long.example.", many[0][:0]+"long.example. 60 A 9.9.9.9")
	e := up.zone["A long.example."]
	e.truncated = true
	up.set("A long.example.", e)
	b := newServer(t, open, up.addr)
	b.expect("many.example.", dnsmessage.TypeA, "Success, truncated")
	if m := b.asks("many.example.", dnsmessage.TypeA, 4096); m.Truncated || len(m.Answers) != 100 || len(m.Additionals) != 1 {
		t.Errorf("with EDNS: %s", says(m))
	}
	if m := b.asks("many.example.", dnsmessage.TypeA, 1232); !m.Truncated || len(m.Additionals) != 1 {
		t.Errorf("with less EDNS: %s", says(m))
	}
	b.expect("long.example.", dnsmessage.TypeA, "Success, 60 9.9.9.9")
	if up.byTCP.Load() != 1 {
		t.Error("upstream was not asked over TCP")
	}

	conn, served := b.dial()
	for i := range 3 {
		if err := writeFramed(conn, message(uint16(i), "many.example.", dnsmessage.TypeA, 0)); err != nil {
			t.Fatal(err)
		}
		msg, err := readFramed(conn)
		if err != nil {
			t.Fatal(err)
		}
		if m := b.parse(msg, uint16(i), "many.example."); m.Truncated || len(m.Answers) != 100 {
			t.Errorf("over TCP: %s", says(m))
		}
	}
	if err := writeFramed(conn, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	<-served // it ends with the first message that is none
}

// dial connects to the server over TCP.
func (b *bench) dial() (net.Conn, <-chan struct{}) {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer other.Close()
		b.ServeTCP(other)
	}()
	b.t.Cleanup(func() { conn.Close(); <-served })
	return conn, served
}

func TestWhatIsNoQuestion(t *testing.T) {
	b := newServer(t, open)
	two := dnsmessage.Message{Questions: []dnsmessage.Question{
		{Name: dnsmessage.MustNewName("a.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
		{Name: dnsmessage.MustNewName("b.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
	}}
	chaos := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("version.bind."), Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassCHAOS}}}
	status := dnsmessage.Message{Header: dnsmessage.Header{OpCode: 5}, Questions: two.Questions[:1]}
	response := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Questions: two.Questions[:1]}
	pack := func(m dnsmessage.Message) []byte {
		out, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, c := range []struct {
		what string
		in   []byte
		code string
	}{
		{"two questions", pack(two), "FormatError"}, {"no question", pack(dnsmessage.Message{}), "FormatError"}, {"another class", pack(chaos), "Refused"},
		{"an update", pack(status), "NotImplemented"}, {"an answer", pack(response), ""}, {"a byte", []byte{1}, ""}, {"nothing", nil, ""},
	} {
		code := ""
		b.ServeUDP(guest, c.in, func(msg []byte) {
			var m dnsmessage.Message
			if err := m.Unpack(msg); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			code = strings.TrimPrefix(m.RCode.String(), "RCode")
		})
		if code != c.code {
			t.Errorf("%s: %q; want %q", c.what, code, c.code)
		}
	}
}
