package hostsock

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// control is a control message as the kernel makes it.
func control(level, kind int32, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(data))))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(kind))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

// extended is a struct sock_extended_err.
func extended(origin, kind, code byte, info uint32) []byte {
	b := []byte{111, 0, 0, 0, origin, kind, code, 0}
	return append(binary.NativeEndian.AppendUint32(b, info), make([]byte, 4+16)...)
}

// FuzzErrors reads any control messages: an error comes out only of a message that is one, and is what is in it.
func FuzzErrors(f *testing.F) {
	f.Add(control(unix.IPPROTO_IP, unix.IP_RECVERR, extended(originICMP, 3, 4, 1400)))
	f.Add(control(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, extended(originICMP6, 1, 4, 0)))
	f.Add(append(control(unix.IPPROTO_IP, unix.IP_TTL, []byte{64, 0, 0, 0}), control(unix.IPPROTO_IP, unix.IP_RECVERR, extended(1, 0, 0, 0))...))
	f.Add(control(unix.IPPROTO_IP, unix.IP_RECVERR, extended(originICMP, 3, 3, 0)[:15]))
	f.Fuzz(func(t *testing.T, oob []byte) {
		e, ok := icmpError(oob)
		if !ok {
			if e != (ICMPError{}) {
				t.Errorf("%+v, which is none", e)
			}
			return
		}
		for at := 0; at+unix.CmsgSpace(16) <= len(oob); at += 8 { // where the kernel aligns them
			if again, ok := icmpError(oob[at : at+unix.CmsgSpace(16)]); ok && again == e {
				return
			}
			body := oob[at+unix.CmsgLen(0):]
			if body[5] == e.Type && body[6] == e.Code && binary.NativeEndian.Uint32(body[8:]) == e.Info {
				return
			}
		}
		t.Errorf("%+v is nowhere in % x", e, oob)
	})
}

// What the kernel queues when nobody listens.
func TestPortUnreachableIsQueued(t *testing.T) {
	closed, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to := closed.LocalAddr().(*net.UDPAddr).AddrPort()
	_ = closed.Close()
	fd, err := DialUDP(netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := Write(fd, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if e, ok := NextError(fd); !ok || e != (ICMPError{Type: 3, Code: 3}) {
		t.Errorf("%+v, %v, want that the port is unreachable", e, ok)
	}
	if e, ok := NextError(fd); ok {
		t.Errorf("one more: %+v", e)
	}
}
