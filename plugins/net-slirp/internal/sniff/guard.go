package sniff

import (
	"errors"
	"fmt"
)

// Guard watches what a client sends, from the first byte on, for another name than the one that was allowed.
type Guard struct {
	name     string
	requests requests
	hellos   hellos
	check    func([]byte) error // nil when nothing more can name a server
	err      error
}

// NewGuard returns the guard of a stream that First has read a name from.
func NewGuard(first Result) *Guard {
	g := &Guard{name: first.Name}
	same := func(name string) error {
		if name != g.name {
			return fmt.Errorf("a connection for %s names %s", g.name, name)
		}
		return nil
	}
	switch first.Protocol {
	case HTTP:
		g.requests.host = same
		g.check = g.requests.write
	case TLS:
		g.hellos.name = same
		g.check = g.hellos.write
	default:
		g.err = errors.New("nothing here names a server")
	}
	return g
}

// Check takes the next bytes of the stream before they go on. With an error, none of them may.
func (g *Guard) Check(b []byte) error {
	if g.err != nil || g.check == nil {
		return g.err
	}
	g.err = g.check(b)
	if errors.Is(g.err, errNoMore) {
		g.err, g.check, g.hellos = nil, nil, hellos{}
	}
	return g.err
}

// maxWatched is how much of a TLS stream can come before the second hello: early data, which servers bound (RFC 8446, section 4.2.10).
const maxWatched = 256 << 10

// errNoMore ends the watch.
var errNoMore = errors.New("nothing more can name a server")

// hellos follows TLS records. After a HelloRetryRequest the client says hello again (RFC 8446, section 4.1.2), perhaps after a
// change of cipher spec and early data, and that hello too must have the name. Whatever else comes in a handshake record says that
// the handshake went on without one.
type hellos struct {
	name func(string) error

	seen    int
	header  []byte // what is there of a record's header
	kind    byte
	left    int    // of the record
	message []byte // what is there of a hello
}

func (h *hellos) write(b []byte) error {
	for len(b) > 0 {
		if h.left == 0 {
			n := min(recordHeader-len(h.header), len(b))
			h.header = append(h.header, b[:n]...)
			b = b[n:]
			if len(h.header) < recordHeader {
				return nil
			}
			if err := h.begin(); err != nil {
				return err
			}
			continue
		}
		n := min(h.left, len(b))
		if h.kind == recordHandshake {
			if err := h.handshake(b[:n]); err != nil {
				return err
			}
		}
		h.left -= n
		b = b[n:]
	}
	return nil
}

// begin reads the header of a record.
func (h *hellos) begin() (err error) {
	if h.kind, h.left, err = record(h.header); err != nil {
		return errNoMore // no server goes on from here
	}
	h.header = h.header[:0]
	h.seen += recordHeader + h.left
	// No server accepts a hello with other records in between: what looked like one was an encrypted record.
	if h.kind != recordHandshake && len(h.message) > 0 || h.seen > maxWatched {
		return errNoMore
	}
	return nil
}

func (h *hellos) handshake(b []byte) error {
	h.message = append(h.message, b...)
	for len(h.message) > 0 {
		hello, err := wholeHello(h.message)
		switch {
		case errors.Is(err, errIncomplete):
			return nil
		case err != nil && h.message[0] != typeClientHello:
			return errNoMore
		case err != nil:
			return err
		}
		name, err := helloName(hello)
		if err == nil {
			err = h.name(name)
		}
		if err != nil {
			return err
		}
		h.message = h.message[handshakeHeader+len(hello):]
	}
	h.message = nil
	return nil
}
