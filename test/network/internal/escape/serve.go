//go:build linux

package escape

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Kinds of requests.
const (
	Stream   = "stream"   // connect to To, send the pieces of Send, each but the first after an answer to the one before, read to the end
	Hold     = "hold"     // the same on a connection that stays open from one request to the next, with one read after the last piece
	Datagram = "datagram" // send datagrams from From, if that is given, to To; with Answered, wait for one that comes back
	Frames   = "frames"   // put frames on the wire
	Fetch    = "fetch"    // get the page To, trusting Roots
	Resolve  = "resolve"  // ask the resolver From, that of the guest if none is given, over Over, for the addresses of To
	Vsock    = "vsock"    // connect to To, a context and a port, past the network
)

// Request is one thing to do.
type Request struct {
	Do       string
	To       string
	From     string   `json:",omitempty"`
	Send     [][]byte `json:",omitempty"`
	Over     string   `json:",omitempty"` // udp or tcp; either if empty
	Answered bool     `json:",omitempty"`
	Cut      int      `json:",omitempty"` // bytes of a stream's segments, if they are to be small
	Roots    []byte   `json:",omitempty"` // PEM of certificates
}

// Answer is what came of it.
type Answer struct {
	Got   []byte // from the other end
	Error string // how it ended, empty if it did well
}

// patience bounds each request, so that what is dropped without a word does not hold up the test for ever.
const patience = 20 * time.Second

// Serve does what it is asked to until there are no more requests.
func Serve(r io.Reader, w io.Writer) error {
	in, out := json.NewDecoder(r), json.NewEncoder(w)
	held := streams{}
	for {
		var req Request
		switch err := in.Decode(&req); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		got, err := held.do(req)
		answer := Answer{Got: got}
		if err != nil {
			answer.Error = err.Error()
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}

// streams are connections that stay open, by their destination.
type streams map[string]net.Conn

func (s streams) do(r Request) ([]byte, error) {
	switch r.Do {
	case Stream:
		return stream(r.To, r.Send, r.Cut)
	case Hold:
		return s.talk(r.To, r.Send)
	case Datagram:
		return datagram(r)
	case Frames:
		return nil, frames(r.Send)
	case Fetch:
		return fetch(r.To, r.Roots)
	case Resolve:
		return resolve(r)
	case Vsock:
		return nil, vsock(r.To)
	}
	return nil, fmt.Errorf("nobody knows how to %q", r.Do)
}
