package button

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// address is where the events of a family arrive.
type address struct {
	family uint16 // type of its messages
	group  uint32 // of receivers
}

// request asks the kernel for the address of a family.
func request(family string) []byte {
	name := append([]byte(family), 0)
	size := unix.SizeofNlMsghdr + genericHeader + unix.SizeofNlAttr + align(len(name))
	b := make([]byte, 0, size)
	b = binary.NativeEndian.AppendUint32(b, uint32(size))
	b = binary.NativeEndian.AppendUint16(b, unix.GENL_ID_CTRL)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, make([]byte, 8)...) // sequence number and sender
	b = append(b, unix.CTRL_CMD_GETFAMILY, 1, 0, 0)
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(name)))
	b = binary.NativeEndian.AppendUint16(b, unix.CTRL_ATTR_FAMILY_NAME)
	return append(b, name...)[:size]
}

// parseAddress reads the answer, for one of the family's groups.
func parseAddress(datagram []byte, group string) (address, error) {
	messages, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		return address{}, err
	}
	if len(messages) != 1 {
		return address{}, fmt.Errorf("%d messages in answer to one", len(messages))
	}
	m := messages[0]
	switch {
	case m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4:
		return address{}, syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
	case m.Header.Type != unix.GENL_ID_CTRL || len(m.Data) < genericHeader || m.Data[0] != unix.CTRL_CMD_NEWFAMILY:
		return address{}, fmt.Errorf("unexpected message of type %d", m.Header.Type)
	}
	return readFamily(m.Data[genericHeader:], group)
}

func readFamily(b []byte, group string) (a address, err error) {
	for kind, value := range attributes(b) {
		switch {
		case kind == unix.CTRL_ATTR_FAMILY_ID && len(value) == 2:
			a.family = binary.NativeEndian.Uint16(value)
		case kind == unix.CTRL_ATTR_MCAST_GROUPS:
			for _, entry := range attributes(value) {
				if name, id := readGroup(entry); name == group {
					a.group = id
				}
			}
		}
	}
	if a.family == 0 || a.group == 0 {
		return address{}, errors.New("the family has no such group")
	}
	return a, nil
}

func readGroup(b []byte) (name string, id uint32) {
	for kind, value := range attributes(b) {
		switch {
		case kind == unix.CTRL_ATTR_MCAST_GRP_NAME:
			name = string(bytes.TrimRight(value, "\x00"))
		case kind == unix.CTRL_ATTR_MCAST_GRP_ID && len(value) == 4:
			id = binary.NativeEndian.Uint32(value)
		}
	}
	return name, id
}
