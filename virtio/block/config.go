//go:build linux

package block

import (
	"encoding/binary"
	"fmt"

	"github.com/voidbox-run/voidbox/virtio"
)

// Feature bits (section 5.2.3).
const (
	FeatureSegMax      = 1 << 2  // VIRTIO_BLK_F_SEG_MAX
	FeatureReadOnly    = 1 << 5  // VIRTIO_BLK_F_RO
	FeatureBlockSize   = 1 << 6  // VIRTIO_BLK_F_BLK_SIZE
	FeatureFlush       = 1 << 9  // VIRTIO_BLK_F_FLUSH
	FeatureTopology    = 1 << 10 // VIRTIO_BLK_F_TOPOLOGY
	FeatureConfigWCE   = 1 << 11 // VIRTIO_BLK_F_CONFIG_WCE
	FeatureMultiQueue  = 1 << 12 // VIRTIO_BLK_F_MQ
	FeatureDiscard     = 1 << 13 // VIRTIO_BLK_F_DISCARD
	FeatureWriteZeroes = 1 << 14 // VIRTIO_BLK_F_WRITE_ZEROES
)

const (
	// queueSize has room for a request of 1 MiB in scattered pages as one chain, which must not be longer than the queue.
	queueSize = 512
	segMax    = queueSize - 2 // but for header and status

	// A discard frees up to 2 GiB a segment. Zeroes may have to be written one by one, so they are kept to what that
	// takes a fraction of a second for.
	maxDiscardSectors = 2 << 30 / sectorSize
	maxDiscardSegs    = 16
	maxZeroSectors    = 32 << 20 / sectorSize
	maxZeroSegs       = 1
)

// Offsets in the configuration space (section 5.2.4).
const (
	configCapacity       = 0
	configSegMax         = 12
	configBlockSize      = 20
	configPhysicalExp    = 24
	configMinIO          = 26
	configWriteback      = 32
	configQueues         = 34
	configMaxDiscard     = 36
	configMaxDiscardSegs = 40
	configDiscardAlign   = 44
	configMaxZero        = 48
	configMaxZeroSegs    = 52
	configZeroMayUnmap   = 56
	configSize           = 60
)

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	f := uint64(FeatureSegMax | FeatureBlockSize | FeatureTopology | FeatureFlush)
	if d.opt.Queues > 1 {
		f |= FeatureMultiQueue
	}
	if d.opt.ReadOnly {
		return f | FeatureReadOnly
	}
	return f | FeatureConfigWCE | FeatureDiscard | FeatureWriteZeroes
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint32, p []byte) {
	var c [configSize]byte
	le := binary.LittleEndian
	le.PutUint64(c[configCapacity:], d.geometry.sectors)
	le.PutUint32(c[configSegMax:], segMax)
	le.PutUint32(c[configBlockSize:], sectorSize)
	c[configPhysicalExp] = d.geometry.physicalExp
	le.PutUint16(c[configMinIO:], 1<<d.geometry.physicalExp)
	if d.writeback.Load() {
		c[configWriteback] = 1
	}
	le.PutUint16(c[configQueues:], uint16(d.opt.Queues))
	if !d.opt.ReadOnly {
		le.PutUint32(c[configMaxDiscard:], maxDiscardSectors)
		le.PutUint32(c[configMaxDiscardSegs:], maxDiscardSegs)
		le.PutUint32(c[configDiscardAlign:], 1<<d.geometry.physicalExp)
		le.PutUint32(c[configMaxZero:], maxZeroSectors)
		le.PutUint32(c[configMaxZeroSegs:], maxZeroSegs)
		c[configZeroMayUnmap] = 1
	}
	clear(p)
	if offset < configSize {
		copy(p, c[offset:])
	}
}

// WriteConfig implements virtio.Device. Only the cache mode can be written: 1 for writeback, 0 for writethrough.
func (d *Device) WriteConfig(offset uint32, p []byte) {
	if d.opt.ReadOnly || offset > configWriteback || int(configWriteback-offset) >= len(p) {
		return
	}
	d.writeback.Store(p[configWriteback-offset] != 0)
}

// stable reports whether a write has to be on stable storage before it is completed (section 5.2.6.2): the driver either
// chose writethrough or never said that it flushes.
func (d *Device) stable(features uint64) bool {
	if features&FeatureConfigWCE != 0 {
		return !d.writeback.Load()
	}
	return features&FeatureFlush == 0
}

// stateVersion changes with the fields of deviceState.
const stateVersion = 1

// deviceState is what a driver cannot find again after the device was put aside. The size is there to be compared.
type deviceState struct {
	Sectors   uint64 `json:"sectors"`
	Writeback bool   `json:"writeback"`
}

var _ virtio.Stateful = (*Device)(nil)

// SaveState implements virtio.Stateful. Requests are never part of the state: Stop has finished them.
func (d *Device) SaveState() ([]byte, error) {
	return virtio.EncodeState(stateVersion, deviceState{Sectors: d.geometry.sectors, Writeback: d.writeback.Load()})
}

// LoadState implements virtio.Stateful. A disk of another size is not the one that the guest knows.
func (d *Device) LoadState(state []byte) error {
	var s deviceState
	if err := virtio.DecodeState(state, stateVersion, &s); err != nil {
		return err
	}
	if s.Sectors != d.geometry.sectors {
		return fmt.Errorf("%w: the disk had %d sectors and has %d", virtio.ErrState, s.Sectors, d.geometry.sectors)
	}
	d.writeback.Store(s.Writeback)
	return nil
}
