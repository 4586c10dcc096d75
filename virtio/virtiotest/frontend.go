//go:build linux

package virtiotest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// vhost-user messages, as far as a FrontEnd sends them by itself.
const (
	MsgGetFeatures         = 1
	MsgSetFeatures         = 2
	MsgSetOwner            = 3
	MsgSetMemTable         = 5
	MsgSetVringNum         = 8
	MsgSetVringAddr        = 9
	MsgSetVringBase        = 10
	MsgGetVringBase        = 11
	MsgSetVringKick        = 12
	MsgSetVringCall        = 13
	MsgSetVringErr         = 14
	MsgGetProtocolFeatures = 15
	MsgSetProtocolFeatures = 16
	MsgGetQueueNum         = 17
	MsgSetVringEnable      = 18
	MsgGetConfig           = 24
	MsgSetConfig           = 25
	MsgResetDevice         = 34
)

// UserBase is where the front end pretends to have mapped guest memory.
const UserBase = 0x7f0000000000

// FrontEnd speaks vhost-user to a back end, as QEMU does.
type FrontEnd struct {
	Conn *net.UnixConn
	t    testing.TB
}

// NewFrontEnd returns the two ends of a socket: a front end, and what the back end serves.
func NewFrontEnd(t testing.TB) (*FrontEnd, *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "vhost-user")
		c, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { _ = c.Close() })
	}
	_ = ends[0].SetDeadline(time.Now().Add(4 * Patience))
	return &FrontEnd{Conn: ends[0], t: t}, ends[1]
}

// Send sends one message with any contents.
func (f *FrontEnd) Send(request, flags uint32, payload []byte, fds ...int) error {
	b := U32(request, flags, uint32(len(payload)))
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err := f.Conn.WriteMsgUnix(append(b, payload...), oob, nil)
	return err
}

// Receive reads one reply.
func (f *FrontEnd) Receive() (request uint32, payload []byte, err error) {
	var h [12]byte
	if _, err := io.ReadFull(f.Conn, h[:]); err != nil {
		return 0, nil, err
	}
	if flags := binary.LittleEndian.Uint32(h[4:]); flags != 5 {
		return 0, nil, fmt.Errorf("reply has flags %#x", flags)
	}
	payload = make([]byte, binary.LittleEndian.Uint32(h[8:]))
	_, err = io.ReadFull(f.Conn, payload)
	return binary.LittleEndian.Uint32(h[0:]), payload, err
}

// Do sends a message and asks for an acknowledgement; an error means that the back end refused it.
func (f *FrontEnd) Do(request uint32, payload []byte, fds ...int) error {
	const needReply = 1 << 3
	if err := f.Send(request, 1|needReply, payload, fds...); err != nil {
		return err
	}
	got, reply, err := f.Receive()
	if err != nil {
		return err
	}
	if got != request || len(reply) != 8 {
		return fmt.Errorf("message %d: reply %d of %d bytes", request, got, len(reply))
	}
	if v := binary.LittleEndian.Uint64(reply); v != 0 {
		return fmt.Errorf("message %d was refused (%d)", request, v)
	}
	return nil
}

// Ask sends a message that has a reply, and returns that.
func (f *FrontEnd) Ask(request uint32, payload []byte) []byte {
	f.t.Helper()
	if err := f.Send(request, 1, payload); err != nil {
		f.t.Fatal(err)
	}
	got, reply, err := f.Receive()
	if err != nil || got != request {
		f.t.Fatalf("message %d: reply %d, %v", request, got, err)
	}
	return reply
}

func (f *FrontEnd) must(request uint32, payload []byte, fds ...int) {
	f.t.Helper()
	if err := f.Do(request, payload, fds...); err != nil {
		f.t.Fatal(err)
	}
}

// Negotiate opens the session as QEMU 7.2 does: features, protocol features with acknowledgements, owner.
func (f *FrontEnd) Negotiate(features uint64) {
	f.t.Helper()
	const protocol = 1 << 30
	offered := binary.LittleEndian.Uint64(f.Ask(MsgGetFeatures, nil))
	if features&^offered != 0 || offered&protocol == 0 {
		f.t.Fatalf("the back end offers features %#x", offered)
	}
	const want = 1<<3 | 1<<9 // REPLY_ACK, CONFIG
	if p := binary.LittleEndian.Uint64(f.Ask(MsgGetProtocolFeatures, nil)); p&want != want {
		f.t.Fatalf("the back end offers protocol features %#x", p)
	}
	if err := f.Send(MsgSetProtocolFeatures, 1, U64(want)); err != nil {
		f.t.Fatal(err)
	}
	f.must(MsgSetOwner, nil)
	f.must(MsgSetFeatures, U64(features|protocol))
}

// SetMemory hands over guest memory.
func (f *FrontEnd) SetMemory(m *Memory) {
	f.t.Helper()
	f.must(MsgSetMemTable, MemTable(m), int(m.File.Fd()))
}

// MemTable is the payload of SET_MEM_TABLE for m.
func MemTable(m *Memory) []byte {
	return append(U32(1, 0), U64(Base, uint64(len(m.Bytes)), UserBase, 0)...)
}

// StartRing sets up the ring as queue i and enables it, in QEMU's order: enabled before it is configured, and after.
func (f *FrontEnd) StartRing(i int, r *Ring, base uint16) {
	f.t.Helper()
	f.must(MsgSetVringEnable, U32(uint32(i), 1))
	f.ConfigureRing(i, r, base)
	f.must(MsgSetVringEnable, U32(uint32(i), 1))
}

// ConfigureRing sets up the ring as queue i without enabling it.
func (f *FrontEnd) ConfigureRing(i int, r *Ring, base uint16) {
	f.t.Helper()
	index := uint32(i)
	f.must(MsgSetVringNum, U32(index, uint32(r.Size)))
	f.must(MsgSetVringBase, U32(index, uint32(base)))
	f.must(MsgSetVringAddr, append(U32(index, 0), U64(user(r.Desc), user(r.Used), user(r.Avail), 0)...))
	f.must(MsgSetVringCall, U64(uint64(i)), FD(r.Call))
	f.must(MsgSetVringKick, U64(uint64(i)), FD(r.Kick))
}

// StopRing stops queue i and returns its base.
func (f *FrontEnd) StopRing(i int) uint16 {
	f.t.Helper()
	reply := f.Ask(MsgGetVringBase, U32(uint32(i), 0))
	if len(reply) != 8 || binary.LittleEndian.Uint32(reply) != uint32(i) {
		f.t.Fatalf("GET_VRING_BASE: reply %x", reply)
	}
	return uint16(binary.LittleEndian.Uint32(reply[4:]))
}

func user(guest uint64) uint64 { return guest - Base + UserBase }

// U32 and U64 put payloads together.
func U32(v ...uint32) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return b
}

// U64 is U32 for 64-bit fields.
func U64(v ...uint64) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

func duplicate(t testing.TB, e *virtio.EventFD) *virtio.EventFD {
	t.Helper()
	fd, err := unix.FcntlInt(uintptr(FD(e)), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := virtio.OpenEventFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// FD returns the descriptor without making it blocking, which os.File.Fd may do. e outlives its use.
func FD(e *virtio.EventFD) (fd int) {
	raw, err := e.File().SyscallConn()
	if err == nil {
		err = raw.Control(func(d uintptr) { fd = int(d) })
	}
	if err != nil {
		return -1
	}
	return fd
}
