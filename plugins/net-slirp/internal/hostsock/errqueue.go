package hostsock

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Origins of an error (linux/errqueue.h).
const (
	originICMP  = 2
	originICMP6 = 3
)

// ICMPError is what a router or the peer had to say about a packet (struct sock_extended_err).
type ICMPError struct {
	V6         bool
	Type, Code uint8
	Info       uint32 // of a packet that was too large, the MTU
}

// wantErrors has the kernel queue ICMP errors of a socket with all that they say.
func wantErrors(fd int, v6 bool) {
	if v6 {
		setOption(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
		return
	}
	setOption(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
}

// NextError takes an error from the socket's queue, false if there is none. Errors of this host's own are not ICMP's, and skipped.
func NextError(fd int) (ICMPError, bool) {
	var oob [256]byte
	for {
		_, n, _, _, err := unix.Recvmsg(fd, nil, oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return ICMPError{}, false
		}
		if e, ok := icmpError(oob[:n]); ok {
			return e, true
		}
	}
}

// icmpError finds what ICMP said in the control messages of an error.
func icmpError(oob []byte) (ICMPError, bool) {
	const sizeofExtended = 16
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return ICMPError{}, false
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !v4 && !v6 || len(m.Data) < sizeofExtended {
			continue
		}
		if origin := m.Data[4]; origin == originICMP || origin == originICMP6 {
			return ICMPError{V6: v6, Type: m.Data[5], Code: m.Data[6], Info: binary.NativeEndian.Uint32(m.Data[8:])}, true
		}
	}
	return ICMPError{}, false
}
