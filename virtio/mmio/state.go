//go:build linux

package mmio

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/voidbox-run/voidbox/virtio"
)

// Pause stops the device until Resume. vCPUs should be stopped before: registers can be accessed all the same, but a driver that
// starts the device has it started by Resume.
func (t *Transport) Pause() {
	t.life.Lock()
	defer t.life.Unlock()
	t.paused = true
	t.dev.Stop()
}

// Resume lets a paused device go on where it stopped. It raises again an interrupt that the driver has not acknowledged: after
// Load, or where the interrupt controller was saved before the signal had reached it, the first one may be lost.
func (t *Transport) Resume() {
	t.life.Lock()
	defer t.life.Unlock()
	if !t.paused {
		return
	}
	t.paused = false
	t.start()
	t.interrupt.again()
}

const stateVersion = 1

// savedTransport is the transport's state, of version stateVersion.
type savedTransport struct {
	DeviceID          uint32          `json:"device_id"`
	Status            uint32          `json:"status"`
	Started           bool            `json:"started"`
	Interrupts        uint32          `json:"interrupts"`
	Generation        uint32          `json:"generation"`
	DeviceFeaturesSel uint32          `json:"device_features_sel"`
	DriverFeaturesSel uint32          `json:"driver_features_sel"`
	DriverFeatures    uint64          `json:"driver_features"`
	UnknownFeatures   bool            `json:"unknown_features"`
	QueueSel          uint32          `json:"queue_sel"`
	Queues            []savedQueue    `json:"queues"`
	Device            json.RawMessage `json:"device,omitempty"` // of a virtio.Stateful
}

type savedQueue struct {
	Num    uint32 `json:"num"`
	Desc   uint64 `json:"desc"`
	Avail  uint64 `json:"avail"`
	Used   uint64 `json:"used"`
	Ready  bool   `json:"ready"`
	Broken bool   `json:"broken,omitempty"`
	Base   uint16 `json:"base"`
}

// Save returns the state of the transport and, where it is a virtio.Stateful, of its device. The transport must be paused.
func (t *Transport) Save() ([]byte, error) {
	t.life.Lock()
	defer t.life.Unlock()
	if !t.paused {
		return nil, errors.New("virtio-mmio: saved while it runs")
	}
	s := t.saved()
	if d, ok := t.dev.(virtio.Stateful); ok {
		state, err := d.SaveState()
		if err != nil {
			return nil, fmt.Errorf("virtio-mmio: device %d: %w", s.DeviceID, err)
		}
		s.Device = state
	}
	return virtio.EncodeState(stateVersion, s)
}

func (t *Transport) saved() savedTransport {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.reg
	s := savedTransport{
		DeviceID: t.dev.DeviceID(), Status: r.status, Started: t.started,
		Interrupts: t.interrupt.status.Load(), Generation: t.interrupt.generation.Load(),
		DeviceFeaturesSel: r.deviceFeaturesSel, DriverFeaturesSel: r.driverFeaturesSel,
		DriverFeatures: r.driverFeatures, UnknownFeatures: r.unknownFeatures,
		QueueSel: r.queueSel,
	}
	for i := range r.queues {
		q := &r.queues[i]
		sq := savedQueue{Num: q.num, Desc: q.desc, Avail: q.avail, Used: q.used, Broken: q.broken}
		if q.queue != nil {
			sq.Ready, sq.Base = true, q.queue.Base()
		}
		s.Queues = append(s.Queues, sq)
	}
	return s
}

// Load takes over what Save returned for a transport of the same device, before the guest has run. It leaves the transport
// paused. After an error the transport is as it was, but for having been paused.
func (t *Transport) Load(state []byte) error {
	t.life.Lock()
	defer t.life.Unlock()
	t.paused = true
	t.dev.Stop()
	var s savedTransport
	if err := virtio.DecodeState(state, stateVersion, &s); err != nil {
		return fmt.Errorf("virtio-mmio: %w", err)
	}
	reg, err := t.restore(&s)
	if err == nil {
		err = t.loadDevice(s.Device)
	}
	if err != nil {
		return fmt.Errorf("virtio-mmio: device %d: %w", t.dev.DeviceID(), err)
	}
	t.started = s.Started
	t.interrupt.status.Store(s.Interrupts)
	t.interrupt.generation.Store(s.Generation)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reg = reg
	return nil
}

func (t *Transport) loadDevice(state json.RawMessage) error {
	d, ok := t.dev.(virtio.Stateful)
	if ok != (len(state) > 0) {
		return fmt.Errorf("%w: one of the two has no state", virtio.ErrState)
	}
	if !ok {
		return nil
	}
	return d.LoadState(state)
}

// restore makes registers of a state, which is trusted no more than a driver is.
func (t *Transport) restore(s *savedTransport) (registers, error) {
	r := registers{
		status:            s.Status,
		deviceFeaturesSel: s.DeviceFeaturesSel, driverFeaturesSel: s.DriverFeaturesSel,
		driverFeatures: s.DriverFeatures, unknownFeatures: s.UnknownFeatures,
		queueSel: s.QueueSel,
	}
	switch {
	case s.DeviceID != t.dev.DeviceID():
		return r, fmt.Errorf("%w: it is device %d's", virtio.ErrState, s.DeviceID)
	case len(s.Queues) != len(t.maxSizes):
		return r, fmt.Errorf("%w: %d queues, and the device has %d", virtio.ErrState, len(s.Queues), len(t.maxSizes))
	case !r.possible():
		return r, fmt.Errorf("%w: status %#x", virtio.ErrState, s.Status)
	case r.has(statusFeaturesOK) && !r.acceptable(t.features):
		return r, fmt.Errorf("%w: features %#x, and the device offers %#x", virtio.ErrState, s.DriverFeatures, t.features)
	case s.Started && !r.has(statusDriverOK):
		return r, fmt.Errorf("%w: started with status %#x", virtio.ErrState, s.Status)
	}
	for i, sq := range s.Queues {
		q := queueRegisters{num: sq.Num, desc: sq.Desc, avail: sq.Avail, used: sq.Used, broken: sq.Broken}
		if sq.Ready {
			if !r.has(statusFeaturesOK) {
				return r, fmt.Errorf("%w: queue %d is ready before the features are", virtio.ErrState, i)
			}
			var err error
			if q.queue, err = t.newQueue(i, &q, s.DriverFeatures, sq.Base); err != nil {
				return r, fmt.Errorf("%w: queue %d: %w", virtio.ErrState, i, err)
			}
		}
		r.queues = append(r.queues, q)
	}
	return r, nil
}

// possible reports whether a driver can have reached the status.
func (r *registers) possible() bool {
	for _, s := range steps {
		if r.has(s.bit) && !r.has(s.needs) {
			return false
		}
	}
	return true
}
