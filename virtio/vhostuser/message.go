//go:build linux

package vhostuser

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
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
	for _, fd := range m.fds {
		_ = unix.Close(fd)
	}
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
	oob := make([]byte, unix.CmsgSpace(maxRegions*4))
	for got := 0; got < len(header); {
		n, oobn, flags, _, err := conn.ReadMsgUnix(header[got:], oob)
		if perr := m.takeRights(oob[:oobn]); perr != nil {
			return perr
		}
		switch {
		case err != nil && got > 0:
			return fmt.Errorf("header: %w", noEOF(err))
		case err != nil:
			return err
		case flags&unix.MSG_CTRUNC != 0:
			return fmt.Errorf("more than %d file descriptors", maxRegions)
		case n == 0 && got > 0:
			return fmt.Errorf("header: %w", io.ErrUnexpectedEOF)
		case n == 0:
			return io.EOF
		}
		got += n
	}
	return nil
}

// takeRights keeps the descriptors in oob, so that close finds them, and then judges their number.
func (m *message) takeRights(oob []byte) error {
	if len(oob) == 0 {
		return nil
	}
	controls, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("ancillary data: %w", err)
	}
	for i := range controls {
		fds, err := unix.ParseUnixRights(&controls[i])
		if err != nil {
			continue // credentials and the like
		}
		m.fds = append(m.fds, fds...)
	}
	if len(m.fds) > maxRegions {
		return fmt.Errorf("more than %d file descriptors", maxRegions)
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
