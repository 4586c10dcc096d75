//go:build linux

package testnet

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Names is the resolver of the internet. What it was not told does not exist.
type Names struct {
	mu    sync.Mutex
	known map[string]entry
	asked map[string]int
}

// entry is what is known of a name.
type entry struct {
	alias     string // another name, in place of addresses
	addresses []netip.Addr
	ttl       uint32
}

const usualTTL = 60

// newNames starts the resolver.
func newNames(t testing.TB, i *Internet) *Names {
	n := &Names{known: map[string]entry{}, asked: map[string]int{}}
	at := netip.AddrPortFrom(Resolver, 53).String()
	packets, streams := i.ListenPacket(at), i.Listen(at)
	var serving sync.WaitGroup
	serving.Go(func() { n.servePackets(packets) })
	serving.Go(func() { n.serveStreams(streams) })
	t.Cleanup(func() { // before the sockets are closed by their own
		_, _ = packets.Close(), streams.Close()
		serving.Wait()
	})
	return n
}

// AddName gives a name addresses.
func (n *Names) AddName(name string, addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.known[name]
	e.ttl = usualTTL
	for _, a := range addresses {
		e.addresses = append(e.addresses, netip.MustParseAddr(a))
	}
	n.known[name] = e
}

// SetName gives a name other addresses, which nobody may remember for longer than ttl seconds.
func (n *Names) SetName(name string, ttl uint32, addresses ...string) {
	e := entry{ttl: ttl}
	for _, a := range addresses {
		e.addresses = append(e.addresses, netip.MustParseAddr(a))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[name] = e
}

// AddAlias makes a name another one for target.
func (n *Names) AddAlias(name, target string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[name] = entry{alias: target, ttl: usualTTL}
}

// Asked tells how often the resolver was asked for a name.
func (n *Names) Asked(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[name]
}

func (n *Names) servePackets(c net.PacketConn) {
	b := make([]byte, 1500)
	for {
		size, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if answer := n.answer(b[:size]); answer != nil {
			_, _ = c.WriteTo(answer, from)
		}
	}
}

func (n *Names) serveStreams(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if question, err := readStream(conn); err == nil {
			answer := n.answer(question)
			_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
		}
		_ = conn.Close()
	}
}

func readStream(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// answer returns nil for what is no question.
func (n *Names) answer(query []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil || header.Response {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	chain, known := n.lookUp(strings.ToLower(strings.TrimSuffix(q.Name.String(), ".")))
	code := dnsmessage.RCodeSuccess
	if !known {
		code = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: header.ID, Response: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true, RCode: code,
	})
	err = errors.Join(b.StartQuestions(), b.Question(q), b.StartAnswers())
	name := q.Name
	for _, e := range chain {
		rr := dnsmessage.ResourceHeader{Name: name, Class: q.Class, TTL: e.ttl}
		if e.alias != "" {
			name = dnsmessage.MustNewName(e.alias + ".")
			err = errors.Join(err, b.CNAMEResource(rr, dnsmessage.CNAMEResource{CNAME: name}))
		}
		for _, a := range e.addresses {
			switch {
			case q.Type == dnsmessage.TypeA && a.Is4():
				err = errors.Join(err, b.AResource(rr, dnsmessage.AResource{A: a.As4()}))
			case q.Type == dnsmessage.TypeAAAA && a.Is6():
				err = errors.Join(err, b.AAAAResource(rr, dnsmessage.AAAAResource{AAAA: a.As16()}))
			}
		}
	}
	answer, finishErr := b.Finish()
	if err != nil || finishErr != nil {
		return nil
	}
	return answer
}

// lookUp returns what is known of a name, and of those that it is another one for.
func (n *Names) lookUp(name string) (chain []entry, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked[name]++
	for range 8 {
		e, ok := n.known[name]
		if !ok {
			break
		}
		chain, name = append(chain, e), e.alias
	}
	return chain, len(chain) > 0
}
