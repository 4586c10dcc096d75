//go:build linux

package tap

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/poll"
	"github.com/voidbox-run/voidbox/link"
)

// Mover moves frames between the queues of a device and the lanes of a link, which may be fewer. The functions are called by the one
// goroutine that Run is called by; nil ones do nothing.
type Mover struct {
	Queues []*Queue
	Link   *link.Link

	// Lane returns the lane to which frames of a queue go; lane i for queue i if it is nil.
	Lane func(queue int) int
	// Keep tells whether a frame of the device's is to go to the link.
	Keep func(h link.NetHeader, length int) bool
	// Up takes a frame of the device's instead, and may put it on the link.
	Up func(h link.NetHeader, frame []byte, put func(link.NetHeader, []byte)) error
	// Down takes a record of the link's instead, and may write its frame to the queue.
	Down func(lane int, rec *link.Record) error

	poller *poll.Poller
	lanes  []*link.Lane
	full   []bool // lane: there is no room for a frame of the greatest size
	ready  []bool // queue: there may be frames
	buffer []byte
}

// maxBatch is how many frames are moved one way before others have their turn.
const maxBatch = 64

// Run moves frames until ctx ends, the link goes down or the device is gone, and returns which.
func (m *Mover) Run(ctx context.Context) (err error) {
	if m.poller, err = poll.New(); err != nil {
		return err
	}
	defer m.poller.Free()
	if err := m.plug(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ctx.Done():
		case <-m.Link.Done():
		}
		m.poller.Close()
	}()
	defer func() {
		cancel()
		<-watched
	}()
	if err := m.move(); !errors.Is(err, poll.ErrClosed) {
		return err
	}
	if err := m.Link.Err(); err != nil {
		return err
	}
	return ctx.Err()
}

// plug begins to wait for the queues and the lanes.
func (m *Mover) plug() error {
	m.full, m.ready = make([]bool, m.Link.Lanes()), make([]bool, len(m.Queues))
	for i := range m.Link.Lanes() {
		l := m.Link.Lane(i)
		m.lanes = append(m.lanes, l)
		if err := errors.Join(m.poller.Add(l.In.Event(), unix.EPOLLIN, notQueue), m.poller.Add(l.Out.Event(), unix.EPOLLIN, notQueue)); err != nil {
			return err
		}
	}
	for i, q := range m.Queues {
		m.ready[i] = true
		if err := m.poller.Add(q.fd, unix.EPOLLIN, int32(i)); err != nil {
			return err
		}
	}
	return nil
}

// notQueue is the tag of what is no queue.
const notQueue = -1

func (m *Mover) move() error {
	var events [16]unix.EpollEvent
	for {
		busy := false
		for i := range m.lanes {
			more, err := m.down(i)
			if err != nil {
				return err
			}
			busy = busy || more
		}
		for i := range m.Queues {
			more, err := m.up(i)
			if err != nil {
				return err
			}
			busy = busy || more
		}
		n, err := m.poller.Wait(events[:], (*waiting)(m), busy)
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if tag := int(e.Pad); tag >= 0 && tag < len(m.ready) && e.Fd == int32(m.Queues[tag].fd) {
				m.ready[tag] = true
			}
		}
	}
}

// waiting is a Mover that waits: a poll.Worker.
type waiting Mover

// Pending implements poll.Worker.
func (m *waiting) Pending() bool {
	for _, l := range m.lanes {
		if l.In.Pending() {
			return true
		}
	}
	return false
}

// Arm implements poll.Worker.
func (m *waiting) Arm() bool {
	for i, l := range m.lanes {
		if !l.In.Arm() || m.full[i] && !l.Out.Arm(link.KindFrame, MaxFrame) {
			return false
		}
	}
	return true
}

// Idle implements poll.Worker.
func (m *waiting) Idle() {}

// down moves a batch from a lane to its queue and tells whether there may be more.
func (m *Mover) down(i int) (more bool, err error) {
	in := m.lanes[i].In
	defer in.Release()
	var rec link.Record
	for range maxBatch {
		ok, err := in.Next(&rec)
		if err != nil || !ok {
			return false, err
		}
		switch {
		case m.Down != nil:
			err = m.Down(i, &rec)
		case rec.Kind == link.KindFrame:
			_, err = m.Queues[i].Write(rec.Net, rec.Payload)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// up moves a batch from a queue to a lane and tells whether there may be more.
func (m *Mover) up(i int) (more bool, err error) {
	if !m.ready[i] {
		return false, nil
	}
	lane := i
	if m.Lane != nil {
		lane = m.Lane(i)
	}
	if m.Up != nil {
		return m.upOtherwise(i, lane)
	}
	out := m.lanes[lane].Out
	for range maxBatch {
		frame, err := out.TryReserve(link.KindFrame, MaxFrame)
		if m.full[lane] = errors.Is(err, link.ErrFull); m.full[lane] {
			return false, out.Publish()
		}
		if err != nil {
			return false, err
		}
		h, n, err := m.Queues[i].Read(frame)
		if errors.Is(err, ErrEmpty) {
			m.ready[i] = false
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if m.Keep != nil && !m.Keep(h, n) {
			continue
		}
		out.CommitFrame(h, n)
		if err := out.Publish(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// upOtherwise has Up decide about frames, which are copied. What does not fit the ring is lost.
func (m *Mover) upOtherwise(i, lane int) (more bool, err error) {
	out := m.lanes[lane].Out
	put := func(h link.NetHeader, frame []byte) {
		if buf, err := out.TryReserve(link.KindFrame, len(frame)); err == nil {
			copy(buf, frame)
			out.CommitFrame(h, len(frame))
		}
	}
	if m.buffer == nil {
		m.buffer = make([]byte, MaxFrame)
	}
	for range maxBatch {
		h, n, err := m.Queues[i].Read(m.buffer)
		if errors.Is(err, ErrEmpty) {
			m.ready[i] = false
			return false, out.Publish()
		}
		if err == nil {
			err = m.Up(h, m.buffer[:n], put)
		}
		if err != nil {
			return false, err
		}
	}
	return true, out.Publish()
}
