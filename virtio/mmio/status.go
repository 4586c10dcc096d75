//go:build linux

package mmio

import "github.com/voidbox-run/voidbox/virtio"

// steps are the status bits in the order of section 3.1.1, and what must be set before each.
var steps = [...]struct{ bit, needs uint32 }{
	{statusAcknowledge, 0},
	{statusDriver, statusAcknowledge},
	{statusFeaturesOK, statusDriver},
	{statusDriverOK, statusFeaturesOK},
}

// writeFeatures takes half of the features that the driver accepts, while it may choose.
func (r *registers) writeFeatures(v uint32) {
	switch {
	case !r.has(statusDriver) || r.has(statusFeaturesOK):
	case r.driverFeaturesSel > 1:
		r.unknownFeatures = r.unknownFeatures || v != 0
	default:
		setHalf(&r.driverFeatures, r.driverFeaturesSel, v)
	}
}

// acceptable reports whether FEATURES_OK may be set (section 2.2). Drivers of before version 1 are refused.
func (r *registers) acceptable(offered uint64) bool {
	return !r.unknownFeatures && r.driverFeatures&^offered == 0 && r.driverFeatures&virtio.FeatureVersion1 != 0
}

func (t *Transport) writeStatus(v uint32) {
	t.life.Lock()
	defer t.life.Unlock()
	switch {
	case t.closed:
	case v == 0:
		t.reset()
	case t.advance(v):
		t.started = true
		t.start()
	}
}

// advance sets those bits of v that may be set now, and reports whether DRIVER_OK is a new one among them.
func (t *Transport) advance(v uint32) (start bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.reg
	// Bits are taken back by a reset only (section 2.1.1), and a driver that has given up does nothing else.
	if missing := r.status &^ statusNeedsReset &^ v; missing != 0 || r.has(statusFailed) {
		t.refused("status refused", "status", r.status, "written", v)
		return false
	}
	for _, s := range steps {
		if v&s.bit == 0 || r.has(s.bit) {
			continue
		}
		if !r.has(s.needs) || s.bit == statusFeaturesOK && !r.acceptable(t.features) {
			t.refused("status refused", "status", r.status, "written", v, "features", r.driverFeatures)
			break
		}
		r.status |= s.bit
		start = s.bit == statusDriverOK
	}
	r.status |= v & statusFailed
	return start
}

// reset stops the device and forgets what the driver has written (section 2.4). The status reads 0 last.
func (t *Transport) reset() {
	t.dev.Reset()
	t.started = false
	t.interrupt.status.Store(0)
	t.mu.Lock()
	defer t.mu.Unlock()
	queues := t.reg.queues
	clear(queues)
	t.reg = registers{queues: queues}
}

// start activates the device, if its driver has started it and the VM is not paused. life is held.
func (t *Transport) start() {
	if !t.started || t.paused || t.closed {
		return
	}
	err := t.dev.Activate(t.activation())
	if err == nil {
		return
	}
	t.started = false
	t.needsReset("device did not start", "error", err)
}

func (t *Transport) activation() virtio.Activation {
	t.mu.Lock()
	defer t.mu.Unlock()
	queues := make([]*virtio.Queue, len(t.reg.queues))
	for i := range t.reg.queues {
		if q := &t.reg.queues[i]; !q.broken {
			queues[i] = q.queue
		}
	}
	return virtio.Activation{
		Features: t.reg.driverFeatures, Memory: t.mem, Queues: queues,
		Broken:        t.broken,
		ConfigChanged: t.interrupt.configChanged,
	}
}

// broken is called by the device's goroutines.
func (t *Transport) broken(queue int, err error) {
	t.mu.Lock()
	t.reg.queues[queue].broken = true
	t.mu.Unlock()
	t.needsReset("queue is broken", "queue", queue, "error", err)
}

// needsReset tells the driver that only a reset helps (section 2.1.2).
func (t *Transport) needsReset(what string, args ...any) {
	if t.markBroken(what, args...) {
		t.interrupt.configChanged()
	}
}

func (t *Transport) markBroken(what string, args ...any) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused(what, args...)
	first = !t.reg.has(statusNeedsReset)
	t.reg.status |= statusNeedsReset
	return first
}
