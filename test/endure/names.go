package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sync/errgroup"
)

// Names are of four kinds, by their first letter, and what a resolver says of them follows from the name: (a) has an address of each
// family, (n) does not exist, (t) has more text than a datagram holds, (w) has web pages.
const domain = ".endure.example."

// addressOf is one that belongs to nobody's network.
func addressOf(name string) netip.Addr {
	var a [4]byte
	for i, c := range []byte(name) {
		a[i%4] = a[i%4]*31 + c
	}
	a[0] = 11
	return netip.AddrFrom4(a)
}

func address6Of(name string) netip.Addr {
	a := [16]byte{0x26, 0x20}
	copy(a[12:], addressOf(name).AsSlice())
	return netip.AddrFrom16(a)
}

func textOf(name string) []string {
	return slices.Repeat([]string{strings.Repeat(name, 4)}, 100)
}

// resolver is the plugin's, for the guest.
func (l *load) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, proto, _ string) (net.Conn, error) {
		return l.w.guestDials(ctx, proto, netip.AddrPortFrom(dnsIP, 53))
	}}
}

// lookUp has the guest ask the plugin's resolver for a name.
func (l *load) lookUp(ctx context.Context, rng *rand.Rand) error {
	r := l.resolver()
	name := fmt.Sprintf("%c%d%s", "aaant"[rng.IntN(5)], rng.IntN(1<<rng.IntN(20)), domain)
	var err error
	switch name[0] {
	case 'a':
		var got []netip.Addr
		got, err = r.LookupNetIP(ctx, "ip", name)
		slices.SortFunc(got, netip.Addr.Compare)
		if want := []netip.Addr{addressOf(name), address6Of(name)}; err == nil && !slices.Equal(got, want) {
			return fmt.Errorf("%s is %v, want %v", name, got, want)
		}
	case 'n':
		var got []string
		got, err = r.LookupHost(ctx, name)
		if err == nil {
			return fmt.Errorf("%s does not exist, and is %v", name, got)
		}
		if d := (*net.DNSError)(nil); errors.As(err, &d) && d.IsNotFound {
			err = nil
		}
	case 't':
		var got []string
		got, err = r.LookupTXT(ctx, name)
		if err == nil && strings.Join(got, "") != strings.Join(textOf(name), "") {
			return fmt.Errorf("%s says %d strings that it should not", name, len(got))
		}
	}
	l.done.add("look-ups", 1)
	return l.inVain(err)
}

// inVain forgives a look-up that a bad wire, or a busy machine, has come to nothing. There may not be many.
func (l *load) inVain(err error) error {
	if d := (*net.DNSError)(nil); errors.As(err, &d) && (d.IsTimeout || d.IsTemporary) {
		l.done.add("look-ups in vain", 1)
		return nil
	}
	return err
}

// serveNames is the host's resolver.
func (l *load) serveNames(ctx context.Context, group *errgroup.Group) error {
	at := netip.AddrPortFrom(resolverIP, 53).String()
	packets, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	streams, err := net.Listen("tcp", at)
	if err != nil {
		return errors.Join(err, packets.Close())
	}
	context.AfterFunc(ctx, func() { _, _ = packets.Close(), streams.Close() })
	group.Go(func() error {
		b := make([]byte, 1500)
		for {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return unlessDone(ctx, err)
			}
			answer, err := answerTo(b[:n], 1232)
			if err != nil {
				return err
			}
			_, _ = packets.WriteTo(answer, from)
		}
	})
	group.Go(func() error {
		for {
			conn, err := streams.Accept()
			if err != nil {
				return unlessDone(ctx, err)
			}
			group.Go(func() error {
				defer conn.Close()
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				defer stop()
				for {
					question, err := readMessage(conn)
					if err != nil {
						return nil // the plugin may hang up when it likes
					}
					answer, err := answerTo(question, 1<<16-1)
					if err != nil {
						return err
					}
					_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
				}
			})
		}
	})
	return nil
}

func readMessage(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// answerTo answers a question, with a mark that it is cut if it would be longer than limit.
func answerTo(query []byte, limit int) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	answer, err := build(header, q, false)
	if err == nil && len(answer) > limit {
		return build(header, q, true)
	}
	return answer, err
}

func build(asked dnsmessage.Header, q dnsmessage.Question, truncated bool) ([]byte, error) {
	name := strings.ToLower(q.Name.String())
	code := dnsmessage.RCodeSuccess
	if name[0] == 'n' {
		code = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: asked.ID, Response: true, Truncated: truncated, RecursionDesired: asked.RecursionDesired, RecursionAvailable: true, RCode: code,
	})
	b.EnableCompression()
	err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAnswers())
	rr := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: uint32(len(name) % 4)}
	if name[0] == 'w' { // whose addresses the plugin forgets when their time is over
		rr.TTL = 60
	}
	switch {
	case truncated:
	case name[0] == 'a' && q.Type == dnsmessage.TypeA:
		err = errors.Join(err, b.AResource(rr, dnsmessage.AResource{A: addressOf(name).As4()}))
	case name[0] == 'a' && q.Type == dnsmessage.TypeAAAA:
		err = errors.Join(err, b.AAAAResource(rr, dnsmessage.AAAAResource{AAAA: address6Of(name).As16()}))
	case name[0] == 'w' && q.Type == dnsmessage.TypeA:
		err = errors.Join(err, b.AResource(rr, dnsmessage.AResource{A: webIP.As4()}))
	case name[0] == 't' && q.Type == dnsmessage.TypeTXT:
		err = errors.Join(err, b.TXTResource(rr, dnsmessage.TXTResource{TXT: textOf(name)}))
	}
	answer, ferr := b.Finish()
	return answer, errors.Join(err, ferr)
}
