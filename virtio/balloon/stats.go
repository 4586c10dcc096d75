package balloon

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/voidbox-run/voidbox/virtio"
)

// Stats is what the guest says about its memory (section 5.5.6.3): bytes, or numbers of events since it booted. What it does not
// say is 0, and what it says may be a lie.
type Stats struct {
	SwapIn, SwapOut           uint64
	MajorFaults, MinorFaults  uint64
	Free, Total, Available    uint64
	DiskCaches                uint64
	HugePagesMade, HugeFailed uint64
}

const (
	statSize = 10 // a 16-bit tag and a 64-bit value
	maxStats = 64 // of one report
)

// field returns where the statistic of a tag goes, nil for tags of the future.
func (s *Stats) field(tag uint16) *uint64 {
	fields := [...]*uint64{
		&s.SwapIn, &s.SwapOut, &s.MajorFaults, &s.MinorFaults, &s.Free,
		&s.Total, &s.Available, &s.DiskCaches, &s.HugePagesMade, &s.HugeFailed,
	}
	if int(tag) >= len(fields) {
		return nil
	}
	return fields[tag]
}

func parseStats(raw []byte) (s Stats) {
	for ; len(raw) >= statSize; raw = raw[statSize:] {
		if f := s.field(binary.LittleEndian.Uint16(raw)); f != nil {
			*f = binary.LittleEndian.Uint64(raw[2:])
		}
	}
	return s
}

// Stats asks the guest for its statistics. A guest without a driver, or one that is paused, does not answer; ctx bounds the wait.
func (d *Device) Stats(ctx context.Context) (Stats, error) {
	reported := d.stats.ask()
	select {
	case <-reported:
		return d.stats.last(), nil
	case <-ctx.Done():
		return Stats{}, fmt.Errorf("virtio balloon: the guest reports no statistics: %w", ctx.Err())
	}
}

// LatestStats returns what the guest said last, and asks it for news, which a later call finds. It does not wait. ok is false as
// long as the guest has said nothing.
func (d *Device) LatestStats() (s Stats, ok bool) {
	d.stats.ask()
	s = d.stats.last()
	return s, s != Stats{}
}

// statistics is statsq (section 5.5.6.3), which runs the other way round: the driver offers one buffer with statistics, and
// the device keeps it until it wants new ones.
type statistics struct {
	wanted chan struct{}

	mu       sync.Mutex
	latest   Stats
	reported chan struct{} // closed by the next report
	asked    bool          // since the last report
	known    bool          // the buffer that is kept, or comes next, has been reported
}

func (s *statistics) init() {
	s.wanted = make(chan struct{}, 1)
	s.reported = make(chan struct{})
}

// ask has serve ask the driver, and returns what the next report closes.
func (s *statistics) ask() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	select {
	case s.wanted <- struct{}{}:
	default:
	}
	return s.reported
}

func (s *statistics) last() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}

// forget is for a driver that begins anew. Who waits is answered by its first report.
func (s *statistics) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest, s.known = Stats{}, false
}

// report takes what a buffer says.
func (s *statistics) report(stats Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest, s.asked, s.known = stats, false, true
	close(s.reported)
	s.reported = make(chan struct{})
}

// push reports whether the buffer that is kept should go back to the driver for new statistics.
func (s *statistics) push() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked {
		s.known = false
	}
	return s.asked
}

// isKnown reports whether the next buffer is one that was kept before a stop.
func (s *statistics) isKnown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

func (s *statistics) setKnown(known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = known
}

// serve is the worker of statsq. The buffer that it keeps goes back to the ring when it stops, and is not news when it comes
// again.
func (s *statistics) serve(q *virtio.Queue, stop <-chan struct{}) error {
	var chain virtio.Chain
	var raw [statSize * maxStats]byte
	held := false
	for {
		if !held {
			ok, err := q.Pop(&chain)
			if err != nil {
				return err
			}
			if held = ok; ok && !s.isKnown() {
				s.report(parseStats(raw[:chain.Readable.CopyTo(raw[:], 0)]))
			}
		}
		if held && s.push() {
			q.Push(&chain, 0)
			held = false
			if err := q.Publish(); err != nil {
				return err
			}
		}
		if !held && q.EnableKicks() {
			continue // at most once: a chain is held then, or the queue is broken
		}
		select {
		case <-stop:
			if held {
				q.Unpop(&chain)
			}
			return nil
		case <-q.Kick().C():
		case <-s.wanted:
		}
	}
}
