package dns

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// fakeUpstream is a resolver on loopback, over UDP and TCP on one port, that answers from a table.
type fakeUpstream struct {
	addr  netip.AddrPort
	asked atomic.Int32 // over UDP
	byTCP atomic.Int32

	mu     sync.Mutex
	zone   map[string]zoneEntry                                // by "A name."
	mangle func(q dnsmessage.Question, answer []byte) [][]byte // what is sent over UDP in place of an answer
}

type zoneEntry struct {
	code      dnsmessage.RCode
	records   []dnsmessage.Resource
	authority []dnsmessage.Resource
	truncated bool // over UDP
}

func newUpstream(t testing.TB) *fakeUpstream {
	t.Helper()
	var u *fakeUpstream
	for range 10 { // the port may be taken for the other protocol
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err != nil {
			udp.Close()
			continue
		}
		u = &fakeUpstream{addr: udp.LocalAddr().(*net.UDPAddr).AddrPort(), zone: make(map[string]zoneEntry)}
		var ends sync.WaitGroup
		ends.Go(func() { u.serveUDP(udp) })
		ends.Go(func() { u.serveTCP(tcp) })
		t.Cleanup(func() { udp.Close(); tcp.Close(); ends.Wait() })
		return u
	}
	t.Fatal("no port")
	return nil
}

func (u *fakeUpstream) serveUDP(conn *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		u.asked.Add(1)
		q, answer, ok := u.answer(buf[:n], false)
		if !ok {
			continue
		}
		out := [][]byte{answer}
		u.mu.Lock()
		if u.mangle != nil {
			out = u.mangle(q, answer)
		}
		u.mu.Unlock()
		for _, b := range out {
			_, _ = conn.WriteToUDPAddrPort(b, from)
		}
	}
}

func (u *fakeUpstream) serveTCP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		u.byTCP.Add(1)
		if msg, err := readFramed(conn); err == nil {
			if _, answer, ok := u.answer(msg, true); ok {
				_ = writeFramed(conn, answer)
			}
		}
		conn.Close()
	}
}

func (u *fakeUpstream) answer(msg []byte, stream bool) (dnsmessage.Question, []byte, bool) {
	var m dnsmessage.Message
	if m.Unpack(msg) != nil || len(m.Questions) != 1 {
		return dnsmessage.Question{}, nil, false
	}
	q := m.Questions[0]
	u.mu.Lock()
	e, ok := u.zone[q.Type.String()[len("Type"):]+" "+strings.ToLower(q.Name.String())]
	u.mu.Unlock()
	if !ok {
		e.code = dnsmessage.RCodeNameError
	}
	out := dnsmessage.Message{
		Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true, RCode: e.code}, Questions: m.Questions,
		Answers: e.records, Authorities: e.authority,
	}
	if e.truncated && !stream {
		out.Truncated, out.Answers = true, nil
	}
	b, err := out.Pack()
	return q, b, err == nil
}

// has puts records into the zone: "A a.example." -> "60 CNAME b.example.", "60 A b.example. 1.2.3.4".
func (u *fakeUpstream) has(key string, lines ...string) {
	var e zoneEntry
	for _, line := range lines {
		e.records = append(e.records, record(line))
	}
	u.set(key, e)
}

func (u *fakeUpstream) set(key string, e zoneEntry) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.zone[key] = e
}

// mangles has something else sent over UDP in place of answers.
func (u *fakeUpstream) mangles(how func(q dnsmessage.Question, answer []byte) [][]byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mangle = how
}

// record reads "name TTL type value".
func record(line string) dnsmessage.Resource {
	f := strings.Fields(line)
	var ttl uint32
	for _, c := range f[1] {
		ttl = ttl*10 + uint32(c-'0')
	}
	r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(f[0]), Class: dnsmessage.ClassINET, TTL: ttl}}
	switch f[2] {
	case "A":
		r.Body = &dnsmessage.AResource{A: netip.MustParseAddr(f[3]).As4()}
	case "AAAA":
		r.Body = &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(f[3]).As16()}
	case "CNAME":
		r.Body = &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(f[3])}
	case "TXT":
		r.Body = &dnsmessage.TXTResource{TXT: []string{f[3]}}
	case "SOA":
		r.Body = &dnsmessage.SOAResource{NS: r.Header.Name, MBox: r.Header.Name, MinTTL: ttl}
	case "HTTPS":
		body := dnsmessage.SVCBResource{Priority: 1, Target: dnsmessage.MustNewName(".")}
		body.SetParam(dnsmessage.SVCParamIPv4Hint, netip.MustParseAddr(f[3]).AsSlice())
		r.Body = &dnsmessage.HTTPSResource{SVCBResource: body}
	default:
		panic(line)
	}
	r.Header.Type = dnsmessage.TypeA // overwritten when it is packed
	return r
}
