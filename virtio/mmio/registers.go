//go:build linux

package mmio

// Register offsets (section 4.2.2). All are 32 bits wide; those of 64-bit values come in pairs, the low half first.
const (
	regMagic             = 0x000
	regVersion           = 0x004
	regDeviceID          = 0x008
	regVendorID          = 0x00c
	regDeviceFeatures    = 0x010
	regDeviceFeaturesSel = 0x014
	regDriverFeatures    = 0x020
	regDriverFeaturesSel = 0x024
	regQueueSel          = 0x030
	regQueueNumMax       = 0x034
	regQueueNum          = 0x038
	regQueueReady        = 0x044
	regQueueNotify       = QueueNotify
	regInterruptStatus   = 0x060
	regInterruptACK      = 0x064
	regStatus            = 0x070
	regQueueDesc         = 0x080
	regQueueDriver       = 0x090 // the avail ring
	regQueueDevice       = 0x0a0 // the used ring
	regSHMLen            = 0x0b0
	regSHMBase           = 0x0b8
	regConfigGeneration  = 0x0fc
	regConfig            = 0x100
)

// QueueNotify is the offset of the register by which drivers kick: a 32-bit store of the queue's index. An ioeventfd with that
// index as its datamatch belongs to the event of that queue.
const QueueNotify = 0x050

// Size is the length of the register page.
const Size = 0x1000

const (
	magic   = 0x74726976 // "virt"
	version = 2
	vendor  = 0x4d4b4256 // "VBKM"; any value is a good one
	noSHM   = 1<<32 - 1  // length and base of a shared memory region that does not exist
)

// Status bits (section 2.1).
const (
	statusAcknowledge = 1
	statusDriver      = 2
	statusDriverOK    = 4
	statusFeaturesOK  = 8
	statusNeedsReset  = 64
	statusFailed      = 128
)

// Interrupt bits (section 4.2.2, InterruptStatus).
const (
	interruptUsed   = 1
	interruptConfig = 2
)

// registers is what a driver has written, and starts anew with a reset.
type registers struct {
	status            uint32
	deviceFeaturesSel uint32
	driverFeaturesSel uint32
	driverFeatures    uint64
	unknownFeatures   bool // the driver has set a feature above bit 63
	queueSel          uint32
	queues            []queueRegisters
}

func (r *registers) has(status uint32) bool { return r.status&status == status }

// selected returns the registers of the queue that QueueSel names, or nil.
func (r *registers) selected() *queueRegisters {
	if uint64(r.queueSel) >= uint64(len(r.queues)) {
		return nil
	}
	return &r.queues[r.queueSel]
}

// half returns the 32 bits of v that sel names; there are no more than two.
func half(v uint64, sel uint32) uint32 {
	switch sel {
	case 0:
		return uint32(v)
	case 1:
		return uint32(v >> 32)
	}
	return 0
}

// setHalf replaces the low (0) or high (1) half of v.
func setHalf(v *uint64, which uint32, to uint32) {
	shift := 32 * which
	*v = *v&^(0xffffffff<<shift) | uint64(to)<<shift
}
