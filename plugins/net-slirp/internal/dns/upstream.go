package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Times of questions to upstreams.
const (
	askTime   = 8 * time.Second        // for an answer from anybody
	retryTime = 2 * time.Second        // until a question is sent again
	nextTime  = 600 * time.Millisecond // until the next resolver is asked as well
)

// maxForged is how many wrong answers are read past. Somebody who sends more is guessing IDs.
const maxForged = 64

var (
	errNoServers = errors.New("the host has no resolver")
	errForged    = errors.New("too many answers to other questions")
)

// upstreams are the host's resolvers.
type upstreams struct {
	servers func() []netip.AddrPort
	timing  timing
	best    atomic.Uint32 // where the last good answer came from
	forged  atomic.Uint64
}

// timing is changed by tests.
type timing struct{ ask, retry, next time.Duration }

// ask asks one resolver after another, without waiting for the end of the one before, and returns the first answer that is one.
func (u *upstreams) ask(ctx context.Context, name dnsmessage.Name, typ dnsmessage.Type) (*answer, error) {
	servers := u.servers()
	if len(servers) == 0 {
		return nil, errNoServers
	}
	ctx, cancel := context.WithTimeout(ctx, u.timing.ask)
	type result struct {
		server int
		answer *answer
		err    error
	}
	results := make(chan result, len(servers))
	running := 0
	defer func() {
		cancel()
		for range running {
			<-results
		}
	}()
	first := int(u.best.Load())
	started := 0
	start := func() {
		i := (first + started) % len(servers)
		started++
		running++
		go func() {
			a, err := u.askOne(ctx, servers[i], name, typ)
			results <- result{i, a, err}
		}()
	}
	next := time.NewTicker(u.timing.next)
	defer next.Stop()
	var failed error
	for start(); running > 0; {
		var r result
		select {
		case <-next.C:
			if started < len(servers) {
				start()
			}
			continue
		case r = <-results:
			running--
		}
		if r.err == nil {
			u.best.Store(uint32(r.server))
			return r.answer, nil
		}
		failed = errors.Join(failed, fmt.Errorf("%v: %w", servers[r.server], r.err))
		if started < len(servers) {
			start()
		}
	}
	return nil, failed
}

// askOne asks one resolver until it answers: over UDP, without EDNS if it does not know that, over TCP if the answer is long.
func (u *upstreams) askOne(ctx context.Context, server netip.AddrPort, name dnsmessage.Name, typ dnsmessage.Type) (*answer, error) {
	edns := true
	for {
		msg, h, err := u.exchange(ctx, "udp", server, name, typ, edns)
		if err == nil && h.Truncated {
			msg, h, err = u.exchange(ctx, "tcp", server, name, typ, edns)
		}
		if err != nil {
			return nil, err
		}
		switch h.RCode {
		case dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError:
			return readAnswer(msg, name, typ)
		case dnsmessage.RCodeFormatError, dnsmessage.RCodeNotImplemented:
			if edns {
				edns = false
				continue
			}
		}
		return nil, fmt.Errorf("it answers %v", h.RCode)
	}
}

// exchange sends a question and waits for the answer, sending it again over UDP from time to time, each time from another port.
func (u *upstreams) exchange(ctx context.Context, via string, server netip.AddrPort, name dnsmessage.Name, typ dnsmessage.Type, edns bool) (
	[]byte, dnsmessage.Header, error,
) {
	for {
		msg, h, err := u.try(ctx, via, server, name, typ, edns)
		var timeout net.Error
		if via == "udp" && errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil {
			continue
		}
		return msg, h, err
	}
}

func (u *upstreams) try(ctx context.Context, via string, server netip.AddrPort, name dnsmessage.Name, typ dnsmessage.Type, edns bool) (
	[]byte, dnsmessage.Header, error,
) {
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails
	id := binary.BigEndian.Uint16(random[:])
	out, err := question(id, name, typ, edns)
	if err != nil {
		return nil, dnsmessage.Header{}, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, via, server.String())
	if err != nil {
		return nil, dnsmessage.Header{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if via == "tcp" {
		if err := writeFramed(conn, out); err != nil {
			return nil, dnsmessage.Header{}, err
		}
		msg, err := readFramed(conn)
		if err != nil {
			return nil, dnsmessage.Header{}, err
		}
		h, ok := answers(msg, id, name, typ)
		if !ok {
			return nil, h, errForged
		}
		return msg, h, nil
	}
	if err := conn.SetReadDeadline(time.Now().Add(u.timing.retry)); err != nil {
		return nil, dnsmessage.Header{}, err
	}
	if ctx.Err() != nil { // it may have ended before the deadline was set
		return nil, dnsmessage.Header{}, ctx.Err()
	}
	if _, err := conn.Write(out); err != nil {
		return nil, dnsmessage.Header{}, err
	}
	return u.read(conn, id, name, typ)
}

// read reads past datagrams that do not answer the question.
func (u *upstreams) read(conn net.Conn, id uint16, name dnsmessage.Name, typ dnsmessage.Type) ([]byte, dnsmessage.Header, error) {
	buf := make([]byte, largestUDP)
	for range maxForged {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, dnsmessage.Header{}, err
		}
		if h, ok := answers(buf[:n], id, name, typ); ok {
			return buf[:n], h, nil
		}
		u.forged.Add(1)
	}
	return nil, dnsmessage.Header{}, errForged
}

// answers tells whether a message answers a question (RFC 5452, section 9.1). One without a question may refuse it.
func answers(msg []byte, id uint16, name dnsmessage.Name, typ dnsmessage.Type) (dnsmessage.Header, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || !h.Response || h.ID != id {
		return h, false
	}
	questions, err := p.AllQuestions()
	if err != nil {
		return h, false
	}
	if len(questions) == 0 {
		return h, h.RCode != dnsmessage.RCodeSuccess && h.RCode != dnsmessage.RCodeNameError
	}
	q := questions[0]
	return h, len(questions) == 1 && same(q.Name, name) && q.Type == typ && q.Class == dnsmessage.ClassINET
}

// writeFramed writes a message with its length before it, as it goes over TCP.
func writeFramed(w io.Writer, msg []byte) error {
	if len(msg) > maxMessage {
		return errors.New("a message is too long")
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
	return err
}

func readFramed(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, msg)
	return msg, err
}
