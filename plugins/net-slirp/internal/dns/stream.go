package dns

import (
	"net"
	"net/netip"
	"time"
)

// Bounds of a connection.
const (
	idleTime       = 10 * time.Second
	maxPerSession  = 1000 // questions
	shortestHeader = 12
)

// ServeTCP answers the questions of a connection, one after another (RFC 7766), until the guest ends it or has nothing to ask.
func (s *Server) ServeTCP(conn net.Conn) {
	from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	for range maxPerSession {
		if conn.SetDeadline(time.Now().Add(idleTime)) != nil {
			return
		}
		msg, err := readFramed(conn)
		if err != nil || len(msg) < shortestHeader {
			return
		}
		answered := make(chan []byte, 1)
		s.serve(from, msg, true, func(b []byte) { answered <- b })
		b := <-answered // flights end with their deadline, or with the server
		if b == nil || conn.SetDeadline(time.Now().Add(idleTime)) != nil || writeFramed(conn, b) != nil {
			return
		}
	}
}
