package nic

import (
	"errors"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/link"
)

// maxQueue bounds the TCP segments of a lane that wait for room. The windows of the connections do that before: this is for
// what else a guest may make happen, such as resets by the thousand.
const maxQueue = 32768

// WritePackets implements stack.LinkEndpoint. It never waits.
func (e *Endpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	s := e.session.Load()
	if s == nil {
		e.count.noCarrier.Add(uint64(pkts.Len()))
		return pkts.Len(), nil
	}
	// Mostly it is one packet.
	for _, pkt := range pkts.AsSlice() {
		s.lanes[e.steer.lane(pkt, len(s.lanes))].send(pkt)
	}
	return pkts.Len(), nil
}

// send writes a packet to the ring, or queues or drops it.
func (l *lane) send(pkt *stack.PacketBuffer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		l.e.count.noCarrier.Add(1)
		return
	}
	if l.delay(pkt) {
		return
	}
	if len(l.queue) > 0 {
		l.enqueue(pkt)
		return
	}
	switch err := l.put(pkt); {
	case err == nil:
		l.published(pkt.Size())
	case errors.Is(err, link.ErrFull):
		l.publish()
		l.enqueue(pkt)
		l.e.cfg.Loop.Wake()
	default:
		l.e.count.noCarrier.Add(1)
	}
}

// maxUnseen is how much is put into the ring before the guest's side begins with it.
const maxUnseen = 32 << 10

// published shows the guest's side what was put into the ring, n bytes more: now, or with the rest of what the loop has for it in this
// turn. To wake it for each packet would cost more than the packets.
func (l *lane) published(n int) {
	l.unseen += n
	if !l.turn || l.unseen >= maxUnseen {
		l.publish()
	}
}

func (l *lane) publish() {
	l.unseen = 0
	_ = l.out.Publish()
}

// enqueue keeps a TCP segment for later, and drops anything else.
func (l *lane) enqueue(pkt *stack.PacketBuffer) {
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber || len(l.queue) >= maxQueue {
		l.e.count.full.Add(1)
		return
	}
	l.e.count.queued.Add(1)
	l.queue = append(l.queue, pkt.IncRef())
}

// moveQueue writes what is queued, as far as there is room.
func (l *lane) moveQueue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for ; n < len(l.queue) && l.put(l.queue[n]) == nil; n++ {
		l.queue[n].DecRef()
	}
	if n == 0 {
		return
	}
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	l.publish()
}

// setTurn says whether the loop is at work. Before it is not any more, it shows what it has put into the ring.
func (l *lane) setTurn(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn = on
	if !on {
		l.publish()
	}
}

// armQueue asks for an event when there is room for what is queued, false if there is.
func (l *lane) armQueue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0 || l.out.Arm(link.KindFrame, l.needs(l.queue[0]))
}

// cutHere tells whether a packet has to be cut because the guest's driver takes no segments.
func (l *lane) cutHere(pkt *stack.PacketBuffer) bool {
	gso := &pkt.GSOOptions
	if !gso.NeedsCsum || pkt.Data().Size() <= int(gso.MSS) {
		return false
	}
	accepted := link.FeatureGuestTSO4
	if gso.Type == stack.GSOTCPv6 {
		accepted = link.FeatureGuestTSO6
	}
	return l.features()&accepted == 0
}

// needs returns how large the next frame of a packet is.
func (l *lane) needs(pkt *stack.PacketBuffer) int {
	if l.cutHere(pkt) {
		return etherHeader + pkt.HeaderSize() + min(int(pkt.GSOOptions.MSS), pkt.Data().Size()-l.cut)
	}
	return etherHeader + pkt.Size()
}

// put writes a packet to the ring, not yet published. After ErrFull it goes on where it stopped when called with the same packet.
func (l *lane) put(pkt *stack.PacketBuffer) error {
	if l.cutHere(pkt) {
		return l.putSegments(pkt)
	}
	n := etherHeader + pkt.Size()
	frame, err := l.out.TryReserve(link.KindFrame, n)
	if err != nil {
		return err
	}
	l.etherHeader(frame, pkt.NetworkProtocolNumber)
	copyRange(frame[etherHeader:], pkt, 0)
	l.commit(l.offload(frame, pkt), frame)
	return nil
}

// offload returns what is left to the guest of a whole packet, and does the rest.
func (l *lane) offload(frame []byte, pkt *stack.PacketBuffer) link.NetHeader {
	gso := &pkt.GSOOptions
	if gso.Type == stack.GSONone || !gso.NeedsCsum {
		return link.NetHeader{Flags: l.valid()}
	}
	start := etherHeader + int(gso.L3HdrLen)
	if l.features()&link.FeatureGuestChecksum == 0 {
		sumUp(frame, start, int(gso.CsumOffset))
		return link.NetHeader{}
	}
	h := link.NetHeader{Flags: link.NetNeedsChecksum, ChecksumStart: uint16(start), ChecksumOffset: gso.CsumOffset}
	if pkt.Data().Size() > int(gso.MSS) {
		h.GSOType, h.GSOSize, h.HeaderLen = link.NetGSOTCPv4, gso.MSS, uint16(etherHeader+pkt.HeaderSize())
		if gso.Type == stack.GSOTCPv6 {
			h.GSOType = link.NetGSOTCPv6
		}
	}
	return h
}

// valid is the flag of a frame whose checksum is right, for drivers that may be told.
func (l *lane) valid() uint8 {
	if l.features()&link.FeatureGuestChecksum != 0 {
		return link.NetDataValid
	}
	return 0
}

func (l *lane) etherHeader(frame []byte, network tcpip.NetworkProtocolNumber) {
	copy(frame, l.e.cfg.Guest[:])
	copy(frame[6:], l.e.cfg.Gateway[:])
	frame[12], frame[13] = byte(network>>8), byte(network)
}

func (l *lane) commit(h link.NetHeader, frame []byte) {
	if tap := l.e.tap.Load(); tap != nil {
		(*tap).Frame(frame)
	}
	l.out.CommitFrame(h, len(frame))
	l.e.count.receivedFrames.Add(1)
	l.e.count.receivedBytes.Add(uint64(len(frame)))
}

// writeFrame sends a whole frame of a Responder's.
func (l *lane) writeFrame(frame []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down || len(l.queue) > 0 {
		l.e.count.full.Add(1)
		return
	}
	buf, err := l.out.TryReserve(link.KindFrame, len(frame))
	if err != nil {
		l.e.count.full.Add(1)
		return
	}
	copy(buf, frame)
	l.commit(link.NetHeader{Flags: l.valid()}, buf)
	l.published(len(frame))
}
