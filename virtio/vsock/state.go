package vsock

import (
	"encoding/binary"
	"fmt"

	"github.com/voidbox-run/voidbox/virtio"
)

const stateVersion = 1

// savedDevice is what outlives a move to another process: connections do not, since their host sides are sockets of this one.
type savedDevice struct {
	// NextPort keeps new connections away from the ports of those that the guest still takes to be open.
	NextPort uint32 `json:"next_port"`
}

// SaveState implements virtio.Stateful.
func (d *Device) SaveState() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return virtio.EncodeState(stateVersion, savedDevice{NextPort: d.nextPort})
}

// LoadState implements virtio.Stateful. The guest is told, before anything else is sent to it, that its connections are gone and
// that its CID may be another one.
func (d *Device) LoadState(state []byte) error {
	var s savedDevice
	if err := virtio.DecodeState(state, stateVersion, &s); err != nil {
		return err
	}
	if s.NextPort < firstHostPort || s.NextPort > lastHostPort {
		return fmt.Errorf("%w: port %d", virtio.ErrState, s.NextPort)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nextPort, d.moved = s.NextPort, true
	return nil
}

const (
	eventSize           = 4
	eventTransportReset = 0 // VIRTIO_VSOCK_EVENT_TRANSPORT_RESET
)

// A move is told to the guest in the event queue (section 5.10.6.7). Until then nothing else is sent to it, since it would
// take a new connection for one of those that are gone. A guest that offers no buffer for the event receives nothing at all.
type move struct {
	d    *Device
	done chan struct{} // closed when the guest has been told
}

// untoldMove returns the move that the guest has yet to be told of, or nil.
func (d *Device) untoldMove(a virtio.Activation) *move {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.moved || len(a.Queues) <= queueEvent || a.Queues[queueEvent] == nil {
		return nil
	}
	return &move{d: d, done: make(chan struct{})}
}

// receive is Device.receive once the guest has been told.
func (m *move) receive(q *virtio.Queue, stop <-chan struct{}) error {
	select {
	case <-m.done:
		return m.d.receive(q, stop)
	case <-stop:
		return nil
	}
}

// tell serves the event queue until there is a buffer for the event.
func (m *move) tell(q *virtio.Queue, stop <-chan struct{}) error {
	var c virtio.Chain
	for {
		ok, err := q.Pop(&c)
		if err != nil {
			return err
		}
		if ok {
			return m.send(q, &c)
		}
		if q.EnableKicks() {
			continue
		}
		select {
		case <-stop:
			return nil
		case <-q.Kick().C():
		}
	}
}

func (m *move) send(q *virtio.Queue, c *virtio.Chain) error {
	if c.Writable.Len() < eventSize {
		return fmt.Errorf("%w: event buffer of %d bytes", virtio.ErrRing, c.Writable.Len())
	}
	c.Writable.CopyFrom(binary.LittleEndian.AppendUint32(nil, eventTransportReset), 0)
	q.Push(c, eventSize)
	if err := q.Publish(); err != nil {
		return err
	}
	m.d.mu.Lock()
	m.d.moved = false
	m.d.mu.Unlock()
	close(m.done)
	return nil
}
