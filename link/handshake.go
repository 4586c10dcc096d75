//go:build linux

package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/voidbox-run/voidbox/internal/fdpass"
)

// The handshake is three messages on a SOCK_SEQPACKET socket, little-endian:
//
//	device ── hello:  magic, version, purpose, lanes, epoch, features ──────────────────────────────► plugin
//	device ◄─ offer:  magic, version, status, lanes, ring, payload, credits, features + descriptors ─ plugin
//	device ── accept: magic ────────────────────────────────────────────────────────────────────────► plugin
//
// Instead of an offer there may be a refusal: a status other than 0, and a text. The descriptors are the memory and then
// four eventfds a lane: up ring records, up ring room, down ring records, down ring room. The socket stays open; its end is
// the end of the link.
const (
	magic   = 0x4b4e4c56 // "VLNK"
	version = 1

	helloSize  = 32
	offerSize  = 40
	acceptSize = 8
	maxReason  = 256

	statusOK      = 0
	statusRefused = 1

	// handshakeTime bounds how long a peer may keep us waiting, whatever the context says.
	handshakeTime = 10 * time.Second
)

// RefusedError says that the plugin did not want the link that the device asked for.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return fmt.Sprintf("link refused: %q", e.Reason) }

type hello struct {
	version  uint16
	purpose  Purpose
	lanes    uint32
	epoch    uint32
	features Features
}

func (h hello) encode() []byte {
	b := make([]byte, helloSize)
	binary.LittleEndian.PutUint32(b[0:], magic)
	binary.LittleEndian.PutUint16(b[4:], h.version)
	binary.LittleEndian.PutUint16(b[6:], uint16(h.purpose))
	binary.LittleEndian.PutUint32(b[8:], h.lanes)
	binary.LittleEndian.PutUint32(b[12:], h.epoch)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.features))
	return b
}

func parseHello(b []byte) (hello, error) {
	if err := checkMessage(b, helloSize); err != nil {
		return hello{}, err
	}
	return hello{
		version:  binary.LittleEndian.Uint16(b[4:]),
		purpose:  Purpose(binary.LittleEndian.Uint16(b[6:])),
		lanes:    binary.LittleEndian.Uint32(b[8:]),
		epoch:    binary.LittleEndian.Uint32(b[12:]),
		features: Features(binary.LittleEndian.Uint64(b[16:])),
	}, nil
}

type offer struct {
	lanes, ringSize, maxPayload, credits uint32
	features                             Features
}

func (o offer) encode() []byte {
	b := make([]byte, offerSize)
	binary.LittleEndian.PutUint32(b[0:], magic)
	binary.LittleEndian.PutUint16(b[4:], version)
	binary.LittleEndian.PutUint16(b[6:], statusOK)
	binary.LittleEndian.PutUint32(b[8:], o.lanes)
	binary.LittleEndian.PutUint32(b[12:], o.ringSize)
	binary.LittleEndian.PutUint32(b[16:], o.maxPayload)
	binary.LittleEndian.PutUint32(b[20:], o.credits)
	binary.LittleEndian.PutUint64(b[24:], uint64(o.features))
	return b
}

func encodeRefusal(reason string) []byte {
	b := make([]byte, 8, 8+maxReason)
	binary.LittleEndian.PutUint32(b[0:], magic)
	binary.LittleEndian.PutUint16(b[4:], version)
	binary.LittleEndian.PutUint16(b[6:], statusRefused)
	return append(b, reason[:min(len(reason), maxReason)]...)
}

func parseOffer(b []byte) (offer, error) {
	if len(b) >= 8 && binary.LittleEndian.Uint32(b) == magic && binary.LittleEndian.Uint16(b[6:]) != statusOK {
		return offer{}, &RefusedError{Reason: string(b[8:])}
	}
	if err := checkMessage(b, offerSize); err != nil {
		return offer{}, err
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != version {
		return offer{}, fmt.Errorf("the plugin speaks version %d of the link, and this end version %d", v, version)
	}
	return offer{
		lanes:      binary.LittleEndian.Uint32(b[8:]),
		ringSize:   binary.LittleEndian.Uint32(b[12:]),
		maxPayload: binary.LittleEndian.Uint32(b[16:]),
		credits:    binary.LittleEndian.Uint32(b[20:]),
		features:   Features(binary.LittleEndian.Uint64(b[24:])),
	}, nil
}

func encodeAccept() []byte {
	b := make([]byte, acceptSize)
	binary.LittleEndian.PutUint32(b, magic)
	return b
}

func checkMessage(b []byte, size int) error {
	if len(b) != size || binary.LittleEndian.Uint32(b) != magic {
		return fmt.Errorf("message of %d bytes, which is none of a link's handshake", len(b))
	}
	return nil
}

// checkCredits demands a window on a Requests link and none on others.
func checkCredits(p Purpose, credits uint32) error {
	switch {
	case p != Frames && p != Requests:
		return fmt.Errorf("links do not carry purpose %d", p)
	case p == Requests && (credits == 0 || credits > MaxCredits):
		return fmt.Errorf("%d credits: a lane of requests has 1 to %d", credits, MaxCredits)
	case p != Requests && credits != 0:
		return fmt.Errorf("%d credits for %v", credits, p)
	}
	return nil
}

// during runs f, and interrupts what it does on conn when ctx ends or the peer takes too long.
func during(ctx context.Context, conn *net.UnixConn, f func() error) error {
	if err := conn.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := f()
	if !stop() && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// receive reads one message of at most size bytes.
func receive(conn *net.UnixConn, size, fdLimit int) ([]byte, []int, error) {
	b := make([]byte, size)
	n, fds, err := fdpass.Receive(conn, b, fdLimit)
	if err != nil {
		return nil, nil, err
	}
	return b[:n], fds, nil
}

var errNoSeqpacket = errors.New("a link needs a SOCK_SEQPACKET socket")

func checkSocket(conn *net.UnixConn) error {
	if conn.LocalAddr().Network() != "unixpacket" {
		return errNoSeqpacket
	}
	return nil
}
