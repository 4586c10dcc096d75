package nic

import (
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// briefly is how much the guest sends at once when it asks something: the answer will acknowledge it.
const briefly = 2048

// delay keeps an acknowledgement that an answer to a short request may carry instead (RFC 9293 section 3.8.6.3), and tells whether it
// did. One packet more would wake the guest, which has nothing to do yet. It goes before anything that does not say as much, or when the
// loop has been idle for a millisecond. What the guest sends much of is acknowledged at once.
func (l *lane) delay(pkt *stack.PacketBuffer) bool {
	late := l.late
	l.late = nil
	if late != nil {
		if !supersedes(pkt, late) {
			l.late = late
			l.sendLate()
		} else {
			late.DecRef()
		}
	}
	if !l.brief.Load() || len(l.queue) > 0 || !isAcknowledgement(pkt) {
		return false
	}
	l.late = pkt.IncRef()
	return true
}

// sendLate sends the acknowledgement that waits.
func (l *lane) sendLate() {
	late := l.late
	if late == nil {
		return
	}
	l.late = nil
	if l.put(late) == nil {
		l.published(late.Size())
	}
	late.DecRef()
}

// isAcknowledgement tells whether a packet does nothing but acknowledge, and has no options beside timestamps.
func isAcknowledgement(pkt *stack.PacketBuffer) bool {
	const timestamps = 12
	b := pkt.TransportHeader().Slice()
	return pkt.TransportProtocolNumber == header.TCPProtocolNumber && pkt.Data().Size() == 0 &&
		header.TCP(b).Flags() == header.TCPFlagAck && len(b) <= header.TCPMinimumSize+timestamps
}

// supersedes tells whether pkt says all that late says: it is of the same connection and acknowledges more, or has bytes or an end.
func supersedes(pkt, late *stack.PacketBuffer) bool {
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber || pkt.NetworkProtocolNumber != late.NetworkProtocolNumber {
		return false
	}
	a, b := header.TCP(pkt.TransportHeader().Slice()), header.TCP(late.TransportHeader().Slice())
	if a.SourcePort() != b.SourcePort() || a.DestinationPort() != b.DestinationPort() || !sameSource(pkt, late) {
		return false
	}
	ahead := int32(a.AckNumber() - b.AckNumber())
	more := ahead > 0 || ahead == 0 && (pkt.Data().Size() > 0 || a.Flags()&header.TCPFlagFin != 0)
	return a.Flags()&header.TCPFlagAck != 0 && more
}

// sameSource compares the host's addresses: the guest's are of one family only one.
func sameSource(a, b *stack.PacketBuffer) bool {
	return a.Network().SourceAddress() == b.Network().SourceAddress() && a.Network().DestinationAddress() == b.Network().DestinationAddress()
}
