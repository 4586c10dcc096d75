package button

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

const testFamily = 0x1c

// attribute encodes one attribute, padded.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func message(kind uint16, command byte, attributes ...[]byte) []byte {
	return raw(kind, append([]byte{command, 1, 0, 0}, slices.Concat(attributes...)...))
}

func raw(kind uint16, data []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, make([]byte, 10)...)
	return append(b, data...)
}

// event is what the kernel sends of a device.
func event(class, device string, kind uint32) []byte {
	b := make([]byte, 36)
	copy(b, class)
	copy(b[20:], device)
	b = binary.NativeEndian.AppendUint32(b, kind)
	return binary.NativeEndian.AppendUint32(b, 1)
}

func press() []byte { return event("button/power", "PNP0C0C:00", 0x80) }

func u16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func TestPressed(t *testing.T) {
	good := message(testFamily, cmdEvent, attribute(attrEvent, press()))
	for name, c := range map[string]struct {
		datagram []byte
		want     bool
	}{
		"a press":                       {good, true},
		"after another event":           {slices.Concat(message(testFamily, cmdEvent, attribute(attrEvent, event("ac_adapter", "ACPI0003:00", 0x80))), good), true},
		"after another attribute":       {message(testFamily, cmdEvent, attribute(7, []byte{1}), attribute(attrEvent, press())), true},
		"the event of a later kernel":   {message(testFamily, cmdEvent, attribute(attrEvent, append(press(), 0, 0, 0, 0))), true},
		"another family":                {message(testFamily+1, cmdEvent, attribute(attrEvent, press())), false},
		"another command":               {message(testFamily, cmdEvent+1, attribute(attrEvent, press())), false},
		"another attribute":             {message(testFamily, cmdEvent, attribute(attrEvent+1, press())), false},
		"another button":                {message(testFamily, cmdEvent, attribute(attrEvent, event("button/sleep", "PNP0C0E:00", 0x80))), false},
		"a class without end":           {message(testFamily, cmdEvent, attribute(attrEvent, event("button/power/and/more", "", 0x80))), false},
		"waking up":                     {message(testFamily, cmdEvent, attribute(attrEvent, event("button/power", "PNP0C0C:00", 2))), false},
		"a short event":                 {message(testFamily, cmdEvent, attribute(attrEvent, press()[:43])), false},
		"no attribute":                  {message(testFamily, cmdEvent), false},
		"no command":                    {raw(testFamily, nil), false},
		"a cut datagram":                {good[:len(good)-4], false},
		"an attribute beyond the end":   {message(testFamily, cmdEvent, attribute(attrEvent, press())[:20]), false},
		"an attribute without a length": {message(testFamily, cmdEvent, []byte{0, 0, 0, 0}, attribute(attrEvent, press())), false},
		"nothing":                       {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := pressed(c.datagram, testFamily); got != c.want {
				t.Errorf("pressed = %v", got)
			}
		})
	}
}

// family is the kernel's answer about acpi_event, as Linux 6.1 gives it.
func family(groups ...[]byte) []byte {
	return message(unix.GENL_ID_CTRL, unix.CTRL_CMD_NEWFAMILY,
		attribute(unix.CTRL_ATTR_FAMILY_NAME, []byte("acpi_event\x00")),
		attribute(unix.CTRL_ATTR_FAMILY_ID, u16(testFamily)),
		attribute(unix.CTRL_ATTR_VERSION, u32(1)),
		attribute(unix.CTRL_ATTR_HDRSIZE, u32(0)),
		attribute(unix.CTRL_ATTR_MAXATTR, u32(1)),
		attribute(unix.CTRL_ATTR_MCAST_GROUPS|unix.NLA_F_NESTED, slices.Concat(groups...)))
}

func group(name string, id []byte) []byte {
	return attribute(1, slices.Concat(attribute(unix.CTRL_ATTR_MCAST_GRP_ID, id), attribute(unix.CTRL_ATTR_MCAST_GRP_NAME, append([]byte(name), 0))))
}

func TestAddress(t *testing.T) {
	got, err := parseAddress(family(group("other", u32(4)), group(groupName, u32(5))), groupName)
	if want := (address{family: testFamily, group: 5}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for name, datagram := range map[string][]byte{
		"no group":        family(),
		"another group":   family(group("other", u32(4))),
		"a narrow number": family(group(groupName, u16(5))),
		"no family":       message(unix.GENL_ID_CTRL, unix.CTRL_CMD_NEWFAMILY),
		"another message": message(unix.GENL_ID_CTRL+1, unix.CTRL_CMD_NEWFAMILY),
		"another command": message(unix.GENL_ID_CTRL, unix.CTRL_CMD_DELFAMILY),
		"two messages":    slices.Concat(family(), family()),
		"a short error":   raw(unix.NLMSG_ERROR, []byte{1}),
		"a cut datagram":  family(group(groupName, u32(5)))[:40],
		"nothing":         nil,
	} {
		if got, err := parseAddress(datagram, groupName); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	refused := raw(unix.NLMSG_ERROR, append(u32(^uint32(unix.ENOENT)+1), make([]byte, 16)...))
	if _, err := parseAddress(refused, groupName); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a family that is missing: %v", err)
	}
}

// FuzzDatagram: whatever comes, it is read within its bounds, and a press is found only where its words are.
func FuzzDatagram(f *testing.F) {
	f.Add(message(testFamily, cmdEvent, attribute(attrEvent, press())))
	f.Add(message(testFamily, cmdEvent, attribute(attrEvent, event("button/sleep", "PNP0C0E:00", 0x80))))
	f.Add(family(group("other", u32(4)), group(groupName, u32(5))))
	f.Add(raw(unix.NLMSG_ERROR, make([]byte, 20)))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		if pressed(datagram, testFamily) && !bytes.Contains(datagram, []byte(powerClass)) {
			t.Error("a press of nothing")
		}
		if a, err := parseAddress(datagram, groupName); err == nil && (a.family == 0 || a.group == 0) {
			t.Errorf("no error, and no address: %+v", a)
		}
	})
}
