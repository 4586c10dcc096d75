//go:build linux

package vhostuser

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/voidbox-run/voidbox/internal/fdpass"
)

// message is one request of the front end with the descriptors that came with it.
type message struct {
	request   request
	needReply bool
	payload   []byte
	fds       []int
}

// takeFD hands over the next descriptor; the caller closes it.
func (m *message) takeFD() (int, error) {
	if len(m.fds) == 0 {
		return -1, errors.New("a file descriptor is missing")
	}
	fd := m.fds[0]
	m.fds = m.fds[1:]
	return fd, nil
}

// close closes the descriptors that nobody took.
func (m *message) close() {
	fdpass.CloseAll(m.fds)
	m.fds = nil
}

func (m *message) u32(off int) uint32 { return binary.LittleEndian.Uint32(m.payload[off:]) }
func (m *message) u64(off int) uint64 { return binary.LittleEndian.Uint64(m.payload[off:]) }

// readMessage reads one message. io.EOF means that the front end hung up between two messages. What it
// returns has to be closed, also when it failed.
func readMessage(conn *net.UnixConn) (*message, error) {
	m := &message{}
	var header [headerSize]byte
	if err := m.readHeader(conn, header[:]); err != nil {
		return m, err
	}
	m.request = request(binary.LittleEndian.Uint32(header[0:]))
	flags := binary.LittleEndian.Uint32(header[4:])
	size := binary.LittleEndian.Uint32(header[8:])
	if flags&flagVersionMask != flagVersion {
		return m, fmt.Errorf("%v: protocol version %d, want %d", m.request, flags&flagVersionMask, flagVersion)
	}
	if flags&flagReply != 0 {
		return m, fmt.Errorf("%v: a reply, and nothing was asked", m.request)
	}
	if size > maxPayload {
		return m, fmt.Errorf("%v: payload of %d bytes, at most %d", m.request, size, maxPayload)
	}
	m.needReply = flags&flagNeedReply != 0
	m.payload = make([]byte, size)
	// Descriptors come with the header; a plain read has the kernel close any that come with the payload.
	if _, err := io.ReadFull(conn, m.payload); err != nil {
		return m, fmt.Errorf("%v: payload: %w", m.request, noEOF(err))
	}
	return m, nil
}

func (m *message) readHeader(conn *net.UnixConn, header []byte) error {
	for got := 0; got < len(header); {
		n, fds, err := fdpass.Receive(conn, header[got:], maxRegions-len(m.fds))
		m.fds = append(m.fds, fds...)
		if err != nil && got > 0 {
			return fmt.Errorf("header: %w", noEOF(err))
		}
		if err != nil {
			return err
		}
		got += n
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// writeReply sends the reply to a request.
func writeReply(conn *net.UnixConn, r request, payload []byte) error {
	b := make([]byte, 0, headerSize+len(payload))
	b = binary.LittleEndian.AppendUint32(b, uint32(r))
	b = binary.LittleEndian.AppendUint32(b, flagVersion|flagReply)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	if _, err := conn.Write(append(b, payload...)); err != nil {
		return fmt.Errorf("reply to %v: %w", r, err)
	}
	return nil
}
