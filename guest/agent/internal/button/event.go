package button

import (
	"bytes"
	"encoding/binary"
	"syscall"
)

// Names and numbers of Linux, drivers/acpi/event.c.
const (
	familyName = "acpi_event"
	groupName  = "acpi_mc_group"
	cmdEvent   = 1
	attrEvent  = 1
)

// The event is a C structure: the class of the device in 20 bytes, its name in 15, one of padding, type and data in 4 each.
const (
	classBytes = 20
	typeAt     = 36
	eventBytes = 44

	powerClass = "button/power"
	typePress  = 0x80
)

// pressed tells whether a datagram of the family holds a press of the power button.
func pressed(datagram []byte, family uint16) bool {
	messages, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		return false
	}
	for _, m := range messages {
		if m.Header.Type != family || len(m.Data) < genericHeader || m.Data[0] != cmdEvent {
			continue
		}
		for kind, event := range attributes(m.Data[genericHeader:]) {
			if kind == attrEvent && isPress(event) {
				return true
			}
		}
	}
	return false
}

func isPress(event []byte) bool {
	if len(event) < eventBytes {
		return false
	}
	class, _, _ := bytes.Cut(event[:classBytes], []byte{0})
	return string(class) == powerClass && binary.NativeEndian.Uint32(event[typeAt:]) == typePress
}
