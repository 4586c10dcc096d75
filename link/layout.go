//go:build linux

package link

import "fmt"

const (
	// MaxLanes bounds a link, so that its descriptors fit one message.
	MaxLanes = 32
	// MinRing and MaxRing bound the bytes of one ring, a power of two.
	MinRing = 64 << 10
	MaxRing = 16 << 20
	// MaxCredits bounds the requests in flight on one lane.
	MaxCredits = 1024

	recordAlign  = 16
	recordHeader = 32
	wrapHeader   = 16

	// The counters of a lane stand in a page of their own in front of its rings. Each has 128 bytes, since processors
	// fetch cache lines in pairs.
	controlSize  = 4096
	ringControl  = 4 * counterSpace
	counterSpace = 128

	offProd       = 0 * counterSpace // written by the producer
	offDataEvent  = 1 * counterSpace // written by the consumer
	offCons       = 2 * counterSpace // written by the consumer
	offSpaceEvent = 3 * counterSpace // written by the producer
)

// geometry is what both ends settle before they touch the memory; all offsets follow from it.
type geometry struct {
	lanes      int
	ringSize   uint32 // bytes of each ring
	maxPayload uint32 // of one record
}

func (g geometry) check() error {
	switch {
	case g.lanes < 1 || g.lanes > MaxLanes:
		return fmt.Errorf("%d lanes: a link has 1 to %d", g.lanes, MaxLanes)
	case g.ringSize < MinRing || g.ringSize > MaxRing || g.ringSize&(g.ringSize-1) != 0:
		return fmt.Errorf("ring of %d bytes: a power of two from %d to %d is needed", g.ringSize, MinRing, MaxRing)
	case g.maxPayload == 0 || g.maxPayload > maxPayloadOf(g.ringSize):
		return fmt.Errorf("payloads of %d bytes: a ring of %d takes 1 to %d", g.maxPayload, g.ringSize, maxPayloadOf(g.ringSize))
	}
	return nil
}

// maxPayloadOf leaves room for two records of the greatest size: one that does not fit the end of the ring wastes
// less than its own size there.
func maxPayloadOf(ringSize uint32) uint32 { return ringSize/2 - recordHeader }

func (g geometry) laneSize() int64 { return controlSize + 2*int64(g.ringSize) }
func (g geometry) size() int64     { return int64(g.lanes) * g.laneSize() }

// rings returns lane i's rings: up carries what the device writes, down what the plugin writes.
func (g geometry) rings(mem []byte, i int) (up, down ring) {
	lane := mem[int64(i)*g.laneSize():][:g.laneSize()]
	control, data := lane[:controlSize], lane[controlSize:]
	up = newRing(control[:ringControl], data[:g.ringSize:g.ringSize])
	down = newRing(control[ringControl:][:ringControl], data[g.ringSize:][:g.ringSize:g.ringSize])
	return up, down
}

// recordSize returns what a record with a payload of n bytes takes in the ring.
func recordSize(n uint32) uint32 {
	return recordHeader + (n+recordAlign-1)&^(recordAlign-1)
}
