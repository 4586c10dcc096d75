package nic

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const steeringSlots = 1024

// steering remembers on which lane a flow was last seen. Flows that share a slot disturb each other's order of lanes, never
// their delivery.
type steering struct {
	lanes [steeringSlots]atomic.Uint32
}

func (s *steering) reset() {
	for i := range s.lanes {
		s.lanes[i].Store(0)
	}
}

// learn notes that the flow of a packet from the guest uses lane.
func (s *steering) learn(p *ipPacket, lane int) {
	if lane == 0 && !p.hasPorts {
		return
	}
	slot := &s.lanes[slotOf(p.sourcePort, p.destinationPort)]
	if slot.Load() != uint32(lane) {
		slot.Store(uint32(lane))
	}
}

// lane returns where a packet for the guest goes.
func (s *steering) lane(pkt *stack.PacketBuffer, lanes int) int {
	if lanes == 1 {
		return 0
	}
	b := pkt.TransportHeader().Slice()
	if len(b) < 4 || pkt.TransportProtocolNumber != header.TCPProtocolNumber && pkt.TransportProtocolNumber != header.UDPProtocolNumber {
		return 0
	}
	guest, peer := uint16(b[2])<<8|uint16(b[3]), uint16(b[0])<<8|uint16(b[1])
	return int(s.lanes[slotOf(guest, peer)].Load()) % lanes
}

func slotOf(guest, peer uint16) uint32 {
	return (uint32(guest)*0x9e3779b1 ^ uint32(peer)*0x85ebca6b) >> 7 % steeringSlots
}
