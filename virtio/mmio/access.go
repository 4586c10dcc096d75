//go:build linux

package mmio

import "encoding/binary"

// Read fills p from the registers at offset: four aligned bytes of a register, or any of the configuration space. Whatever else
// a driver reads is zero.
func (t *Transport) Read(offset uint64, p []byte) {
	if offset >= regConfig && offset < Size {
		t.dev.ReadConfig(uint32(offset-regConfig), p)
		return
	}
	clear(p)
	if len(p) == 4 && offset%4 == 0 {
		binary.LittleEndian.PutUint32(p, t.readRegister(offset))
	}
}

// Write stores p to the registers at offset. What is not aligned, not writable or not allowed now is ignored.
func (t *Transport) Write(offset uint64, p []byte) {
	if offset >= regConfig && offset < Size {
		t.dev.WriteConfig(uint32(offset-regConfig), p)
		return
	}
	if len(p) == 4 && offset%4 == 0 {
		t.writeRegister(offset, binary.LittleEndian.Uint32(p))
	}
}

func (t *Transport) readRegister(offset uint64) uint32 {
	switch offset {
	case regMagic:
		return magic
	case regVersion:
		return version
	case regDeviceID:
		return t.dev.DeviceID()
	case regVendorID:
		return vendor
	case regInterruptStatus:
		return t.interrupt.status.Load()
	case regConfigGeneration:
		return t.interrupt.generation.Load()
	case regSHMLen, regSHMLen + 4, regSHMBase, regSHMBase + 4:
		return noSHM
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch offset {
	case regDeviceFeatures:
		return half(t.features, t.reg.deviceFeaturesSel)
	case regStatus:
		return t.reg.status
	case regQueueNumMax:
		if t.reg.selected() != nil {
			return uint32(t.maxSizes[t.reg.queueSel])
		}
	case regQueueReady:
		if q := t.reg.selected(); q != nil && q.queue != nil {
			return 1
		}
	}
	return 0
}

func (t *Transport) writeRegister(offset uint64, v uint32) {
	switch offset {
	case regQueueNotify:
		t.notify(v)
	case regInterruptACK:
		t.interrupt.status.And(^v)
	case regStatus:
		t.writeStatus(v)
	case regQueueReady:
		t.writeQueueReady(v)
	default:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.writePlain(offset, v)
	}
}

// writePlain stores to the registers that only remember. mu is held.
func (t *Transport) writePlain(offset uint64, v uint32) {
	switch offset {
	case regDeviceFeaturesSel:
		t.reg.deviceFeaturesSel = v
	case regDriverFeaturesSel:
		t.reg.driverFeaturesSel = v
	case regDriverFeatures:
		t.reg.writeFeatures(v)
	case regQueueSel:
		t.reg.queueSel = v
	default:
		t.reg.writeQueue(offset, v)
	}
}

// notify is a kick that no ioeventfd took. It goes by the eventfd too: a goroutine that a vCPU thread wakes itself would wait in
// that thread's run queue until the scheduler finds the thread to be in the guest again.
func (t *Transport) notify(queue uint32) {
	if uint64(queue) < uint64(len(t.events)) {
		_ = t.events[queue].Signal()
	}
}
