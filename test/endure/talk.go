package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// How a connection goes, which its client says first.
const (
	talkBoth    = iota // both sides send at once, and each ends its direction
	talkInTurns        // the server sends and ends its direction, then the client does
	talkServerResets
	talkClientResets
	talks
)

// stream is a connection, of TCP or, for a service, a unix socket.
type stream interface {
	net.Conn
	CloseWrite() error
}

// patient is a stream that gives up when nothing moves for a while. How long all of it takes is up to the wire and the machine.
type patient struct{ stream }

// patience is how long anything may take that is small.
const patience = 2 * time.Minute

func (p patient) Read(b []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(patience))
	return p.stream.Read(b)
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.SetWriteDeadline(time.Now().Add(patience))
	return p.stream.Write(b)
}

// willReset has its end be a reset.
func (p patient) willReset() error { return p.stream.(*net.TCPConn).SetLinger(0) }

// order is what a client says first. Up and Down are bytes that client and server send.
type order struct {
	Talk     uint8
	Up, Down int64
	Rate     float64 // bytes a second
	Until    int64   // Unix nanoseconds, 0 for no end but that of Up and Down
	Seed     [2]seed // of Up and Down
}

func (o order) up() (seed, amount)   { return o.Seed[0], amount{o.Up, o.until(), o.Rate} }
func (o order) down() (seed, amount) { return o.Seed[1], amount{o.Down, o.until(), o.Rate} }

func (o order) until() time.Time {
	if o.Until == 0 {
		return time.Time{}
	}
	return time.Unix(0, o.Until)
}

// newOrder is one of a short connection: most are small.
func newOrder(rng *rand.Rand) order {
	size := func() int64 { return rng.Int64N(1 << (6 + rng.IntN(16))) } // up to 2 MiB
	return order{Talk: uint8(rng.IntN(talks)), Up: size(), Down: size(), Seed: [2]seed{newSeed(rng), newSeed(rng)}}
}

// askFor is the client's part of a connection. It closes it, and returns how many bytes came and were right.
func askFor(conn patient, o order) (n int64, err error) {
	defer conn.Close()
	if err := binary.Write(conn, binary.LittleEndian, o); err != nil {
		return 0, fmt.Errorf("order: %w", err)
	}
	switch o.Talk {
	case talkBoth:
		return both(conn, o.up, o.Seed[1])
	case talkInTurns:
		if n, err = readToEnd(conn, o.Seed[1]); err != nil {
			return n, fmt.Errorf("first: %w", err)
		}
		_, err = writeAndEnd(conn, o.up)
		return n, err
	case talkServerResets:
		return readToReset(conn, o.Seed[1])
	default:
		b := make([]byte, 1+rand.IntN(maxBlock))
		m, err := conn.Read(b)
		_ = conn.willReset()
		return int64(m), err
	}
}

// answer is the server's part.
func answer(conn patient) (n int64, err error) {
	defer conn.Close()
	var o order
	if err := binary.Read(conn, binary.LittleEndian, &o); err != nil {
		return 0, fmt.Errorf("order: %w", err)
	}
	switch o.Talk {
	case talkBoth:
		n, err = both(conn, o.down, o.Seed[0])
	case talkInTurns:
		if _, err = writeAndEnd(conn, o.down); err == nil {
			n, err = readToEnd(conn, o.Seed[0])
		}
	case talkServerResets:
		s, a := o.down()
		a.bytes++ // so that there is no end of the stream to be seen
		_, err = writeStream(&cut{conn, a.bytes}, s, a)
		if errors.Is(err, errCut) {
			err = conn.willReset()
		}
	case talkClientResets:
		s, a := o.down()
		a.bytes = 1 << 40
		if _, err = writeStream(conn, s, a); isReset(err) {
			err = nil
		}
	default:
		err = fmt.Errorf("%w: in an order", errOtherBytes)
	}
	if err != nil {
		err = fmt.Errorf("server, talk %d: %w", o.Talk, err)
	}
	return n, err
}

// cut ends a stream after some bytes, in the middle of a block.
type cut struct {
	w    io.Writer
	left int64
}

var errCut = errors.New("cut")

func (c *cut) Write(b []byte) (int, error) {
	b = b[:min(int64(len(b)), c.left)]
	n, err := c.w.Write(b)
	if c.left -= int64(n); err == nil && c.left == 0 {
		err = errCut
	}
	return n, err
}

// readToReset reads a stream that ends by a reset. One that is lost is not repeated, except to those who still send; and it is told once,
// to whoever reads or sends first.
func readToReset(conn net.Conn, s seed) (n int64, err error) {
	ended := make(chan struct{})
	var sender sync.WaitGroup
	var sendErr error
	sender.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for sendErr == nil {
			select {
			case <-tick.C:
				_, sendErr = conn.Write([]byte("?"))
			case <-ended:
				return
			}
		}
	})
	n, err = readStream(conn, s)
	close(ended)
	sender.Wait()
	if isReset(err) || errors.Is(err, io.ErrUnexpectedEOF) && isReset(sendErr) {
		return n, nil
	}
	return n, fmt.Errorf("in place of a reset: %w", err)
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// both sends and receives at once.
func both(conn stream, send func() (seed, amount), receive seed) (n int64, err error) {
	var sender sync.WaitGroup
	var sendErr error
	sender.Go(func() { _, sendErr = writeAndEnd(conn, send) })
	n, err = readToEnd(conn, receive)
	sender.Wait()
	return n, errors.Join(err, sendErr)
}

func writeAndEnd(conn stream, what func() (seed, amount)) (int64, error) {
	s, a := what()
	n, err := writeStream(conn, s, a)
	if err == nil {
		err = conn.CloseWrite()
	}
	if err != nil {
		err = fmt.Errorf("send, after %d bytes: %w", n, err)
	}
	return n, err
}

// readToEnd reads a stream and what must come after it: the end of the direction.
func readToEnd(conn stream, s seed) (int64, error) {
	n, err := readStream(conn, s)
	if err == nil {
		if m, end := conn.Read(make([]byte, 1)); m != 0 || !errors.Is(end, io.EOF) {
			err = fmt.Errorf("after the end of the stream: %d bytes, %w", m, end)
		}
	}
	if err != nil {
		err = fmt.Errorf("receive, after %d bytes: %w", n, err)
	}
	return n, err
}
