//go:build linux

package fs

import (
	"fmt"

	"github.com/voidbox-run/voidbox/virtio"
)

const stateVersion = 1

// state names, for each queue, the requests that have no answer.
type state struct {
	Queues []savedRequests `json:"queues"`
}

// savedRequests are their chains' heads, and with the same index the numbers by which the guest knows them.
type savedRequests struct {
	Heads   []uint16 `json:"heads"`
	Uniques []uint64 `json:"uniques"`
}

var _ virtio.Stateful = (*Device)(nil)

// SaveState implements virtio.Stateful.
func (d *Device) SaveState() ([]byte, error) {
	d.life.Lock()
	defer d.life.Unlock()
	if d.run != nil {
		return nil, errRunning
	}
	s := state{Queues: make([]savedRequests, len(d.lanes))}
	for i := range d.lanes {
		q := &s.Queues[i]
		for _, t := range d.lanes[i].tickets() {
			q.Heads, q.Uniques = append(q.Heads, t.head), append(q.Uniques, t.unique)
		}
	}
	return virtio.EncodeState(stateVersion, s)
}

// LoadState implements virtio.Stateful. The requests in it fail at the first Activate.
func (d *Device) LoadState(b []byte) error {
	var s state
	if err := virtio.DecodeState(b, stateVersion, &s); err != nil {
		return err
	}
	d.life.Lock()
	defer d.life.Unlock()
	if d.run != nil {
		return errRunning
	}
	if len(s.Queues) != len(d.lanes) {
		return fmt.Errorf("%w: it has %d queues, and the device %d", virtio.ErrState, len(s.Queues), len(d.lanes))
	}
	lost := make([][]ticket, len(s.Queues))
	for i, q := range s.Queues {
		var err error
		if lost[i], err = q.tickets(); err != nil {
			return fmt.Errorf("%w: queue %d: %w", virtio.ErrState, i, err)
		}
	}
	for i := range d.lanes {
		d.lanes[i].forget()
		d.lanes[i].lost = lost[i]
	}
	return nil
}

func (s savedRequests) tickets() ([]ticket, error) {
	if len(s.Heads) != len(s.Uniques) || len(s.Heads) > virtio.MaxQueueSize {
		return nil, fmt.Errorf("%d heads of %d requests", len(s.Heads), len(s.Uniques))
	}
	seen := make(map[uint16]bool)
	var all []ticket
	for i, head := range s.Heads {
		if seen[head] {
			return nil, fmt.Errorf("head %d twice", head)
		}
		seen[head] = true
		all = append(all, ticket{head: head, unique: s.Uniques[i]})
	}
	return all, nil
}
