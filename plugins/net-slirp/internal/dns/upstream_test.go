package dns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// deaf is a resolver that takes questions and answers none.
func deaf(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// nobody is an address where no resolver listens.
func nobody(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

var soon = timing{ask: 400 * time.Millisecond, retry: 50 * time.Millisecond, next: 20 * time.Millisecond}

func TestDeadResolver(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 A 1.2.3.4")
	b := newServer(t, open, deaf(t), nobody(t), up.addr)
	b.upstreams.timing.next = soon.next
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 1.2.3.4")
	if b.upstreams.best.Load() != 2 {
		t.Error("the resolver that works is not asked first from now on")
	}
}

func TestNoResolver(t *testing.T) {
	for what, servers := range map[string][]netip.AddrPort{"none": nil, "nobody": {nobody(t)}, "deaf": {deaf(t)}} {
		b := newServer(t, open, servers...)
		b.upstreams.timing = soon
		if got := says(b.asks("a.example.", dnsmessage.TypeA, 0)); got != "ServerFailure" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func TestUpstreamThatFails(t *testing.T) {
	bad, good := newUpstream(t), newUpstream(t)
	bad.set("A a.example.", zoneEntry{code: dnsmessage.RCodeServerFailure})
	good.has("A a.example.", "a.example. 60 A 1.2.3.4")
	newServer(t, open, bad.addr, good.addr).expect("a.example.", dnsmessage.TypeA, "Success, 60 1.2.3.4")
}

func TestUpstreamWithoutEDNS(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 A 1.2.3.4")
	first := true
	up.mangles(func(_ dnsmessage.Question, answer []byte) [][]byte {
		if first {
			first = false
			answer[3] = answer[3]&^15 | byte(dnsmessage.RCodeFormatError)
		}
		return [][]byte{answer}
	})
	newServer(t, open, up.addr).expect("a.example.", dnsmessage.TypeA, "Success, 60 1.2.3.4")
}

func TestUpstreamLosesAQuestion(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 A 1.2.3.4")
	lost := 0
	up.mangles(func(_ dnsmessage.Question, answer []byte) [][]byte {
		if lost++; lost < 3 {
			return nil
		}
		return [][]byte{answer}
	})
	b := newServer(t, open, up.addr)
	b.upstreams.timing.retry = soon.retry
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 1.2.3.4")
}

// forgery returns an answer with another address, changed by change.
func forgery(q dnsmessage.Question, answer []byte, change func(*dnsmessage.Message)) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(answer); err != nil {
		panic(err)
	}
	m.Answers = []dnsmessage.Resource{record(q.Name.String() + " 60 A 6.6.6.6")}
	change(&m)
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func TestForgedAnswers(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 60 A 1.2.3.4")
	up.mangles(func(q dnsmessage.Question, answer []byte) [][]byte {
		return [][]byte{
			forgery(q, answer, func(m *dnsmessage.Message) { m.ID++ }),
			forgery(q, answer, func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("b.example.") }),
			forgery(q, answer, func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA }),
			forgery(q, answer, func(m *dnsmessage.Message) { m.Questions = nil }),
			forgery(q, answer, func(m *dnsmessage.Message) { m.Response = false }),
			{1, 2, 3},
			answer,
		}
	})
	b := newServer(t, open, up.addr)
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 1.2.3.4")
	if n := b.upstreams.forged.Load(); n != 6 {
		t.Errorf("%d forged answers were counted", n)
	}
}

// A resolver cannot answer for other names on the way.
func TestStrayRecords(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "b.example. 60 A 6.6.6.6", "a.example. 60 A 1.2.3.4", "b.example. 60 CNAME c.example.")
	up.has("A b.example.", "b.example. 60 A 2.2.2.2")
	b := newServer(t, open, up.addr)
	b.expect("a.example.", dnsmessage.TypeA, "Success, 60 1.2.3.4")
	b.expect("b.example.", dnsmessage.TypeA, "Success, 60 2.2.2.2")
}

func TestOneFlightForAll(t *testing.T) {
	up := newUpstream(t)
	up.has("A a.example.", "a.example. 0 A 1.2.3.4")
	gate := make(chan struct{})
	up.mangles(func(_ dnsmessage.Question, answer []byte) [][]byte {
		<-gate
		return [][]byte{answer}
	})
	b := newServer(t, open, up.addr)
	var answered sync.WaitGroup
	for i := range maxWaiters {
		answered.Add(1)
		b.ServeUDP(guest, message(uint16(i), "a.example.", dnsmessage.TypeA, 0), func(msg []byte) {
			defer answered.Done()
			if m := b.parse(msg, uint16(i), "a.example."); says(m) != "Success, 0 1.2.3.4" {
				t.Error(says(m))
			}
		})
	}
	// One more than may wait is told so at once, and asks again.
	b.expect("a.example.", dnsmessage.TypeA, "ServerFailure")
	close(gate)
	answered.Wait()
	if n := b.count.asked.Load(); n != 1 {
		t.Errorf("%d flights for one question", n)
	}
}

func TestFlightsAreBounded(t *testing.T) {
	b := newServer(t, open, deaf(t))
	var answered sync.WaitGroup
	for i := range maxFlights {
		answered.Add(1)
		b.ServeUDP(guest, message(1, fmt.Sprintf("%d.example.", i), dnsmessage.TypeA, 0), func([]byte) { answered.Done() })
	}
	b.expect("more.example.", dnsmessage.TypeA, "ServerFailure")
	if n := b.count.limited.Load(); n != 1 {
		t.Errorf("%d questions were too many", n)
	}
	b.Close() // ends all of them
	answered.Wait()
	b.expect("late.example.", dnsmessage.TypeA, "ServerFailure")
}

func TestQuestionsPerSecond(t *testing.T) {
	b := newServer(t, open)
	for i := range maxBurst + 10 {
		b.expect(fmt.Sprintf("%d.example.", i), dnsmessage.TypeA, "ServerFailure") // there is no resolver
	}
	if n := b.count.limited.Load(); n != 10 {
		t.Errorf("%d questions were too many", n)
	}
}

func TestResolvConf(t *testing.T) {
	for text, want := range map[string][]string{
		"# x\nnameserver 1.1.1.1\nsearch a b\nnameserver\t2606:4700::1111 # y\nnameserver nonsense\nnameserver fe80::1%eth0\n": {"1.1.1.1:53", "[2606:4700::1111]:53", "[fe80::1%eth0]:53"},
		"": {"127.0.0.1:53"},
	} {
		var got []string
		for _, s := range parseResolvConf([]byte(text)) {
			got = append(got, s.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
	path := filepath.Join(t.TempDir(), "resolv.conf")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("nameserver 1.1.1.1\n")
	c, err := OpenResolvConf(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := func() string {
		c.read = time.Time{} // as if time had passed
		return c.Servers()[0].String()
	}
	if got := first(); got != "1.1.1.1:53" {
		t.Error(got)
	}
	put("nameserver 2.2.2.2\n")
	if got := first(); got != "2.2.2.2:53" {
		t.Error(got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := first(); got != "2.2.2.2:53" {
		t.Errorf("by its descriptor: %s", got)
	}
}
