package dns

import (
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Whatever a guest sends, it is answered with a message or not at all.
func FuzzQuery(f *testing.F) {
	f.Add(message(1, "a.example.", dnsmessage.TypeA, 0))
	f.Add(message(1, "x.localhost.", dnsmessage.TypeAAAA, 4096))
	f.Add(message(1, "1.0.0.127.in-addr.arpa.", dnsmessage.TypePTR, 100))
	p, err := policy.New(policy.Config{}, network.Policy{Default: network.Allow})
	if err != nil {
		f.Fatal(err)
	}
	s := New(Config{Policy: p, Servers: func() []netip.AddrPort { return nil }})
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, msg []byte) {
		answered := make(chan []byte, 1)
		s.serve(guest, msg, false, func(b []byte) { answered <- b })
		b := <-answered
		if b == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(b); err != nil || !m.Response || len(b) > largestUDP {
			t.Fatalf("an answer of %d bytes: %v", len(b), err)
		}
	})
}

// Whatever an upstream sends, what is kept of it can be written anew.
func FuzzAnswer(f *testing.F) {
	name := dnsmessage.MustNewName("a.example.")
	seed := dnsmessage.Message{
		Header:    dnsmessage.Header{Response: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		Answers:   []dnsmessage.Resource{record("a.example. 60 CNAME b.example."), record("b.example. 60 A 1.2.3.4"), record("a.example. 60 HTTPS 1.2.3.4")},
	}
	b, err := seed.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint16(dnsmessage.TypeA))
	f.Add(b, uint16(dnsmessage.TypeHTTPS))
	p, err := policy.New(policy.Config{}, network.Policy{Default: network.Allow})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, msg []byte, typ uint16) {
		answers(msg, 0, name, dnsmessage.Type(typ))
		a, err := readAnswer(msg, name, dnsmessage.Type(typ))
		if err != nil {
			return
		}
		if a.ttl < 0 || a.ttl > maxTTL || len(a.records) > maxRecords {
			t.Fatalf("%+v", a)
		}
		seen := a.judge(p)
		q := query{question: dnsmessage.Question{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
		out := q.pack(reply{code: a.code, answers: aged(seen.records, a.ttl), authority: a.soa}, maxMessage)
		var m dnsmessage.Message
		if err := m.Unpack(out); err != nil {
			t.Fatal(err)
		}
	})
}
