//go:build linux

package link

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Why a link is down; errors.Is finds them in what methods return.
var (
	ErrViolation = errors.New("link: the peer broke the protocol")
	ErrPeerGone  = errors.New("link: the peer hung up")
	ErrClosed    = errors.New("link: closed")
)

// Purpose says what a link carries.
type Purpose uint16

const (
	// Frames both ways, for a network.
	Frames Purpose = iota + 1
	// Requests from the device and replies from the plugin, for a share.
	Requests
)

func (p Purpose) String() string {
	switch p {
	case Frames:
		return "frames"
	case Requests:
		return "requests"
	}
	return "unknown"
}

// Link is one end of a link. It stays up until the peer hangs up or breaks a rule, Break or Close; then every method of
// its lanes returns the reason, and those that wait are woken.
type Link struct {
	purpose  Purpose
	device   bool
	geo      geometry
	credits  uint32
	features Features
	asked    Features      // device: for Redial
	epoch    atomic.Uint32 // device: the present one; plugin: the one it began with
	lanes    []Lane

	conn   *net.UnixConn
	mem    []byte
	events []*event // four a lane, see eventsOf
	watch  sync.WaitGroup

	err       atomic.Pointer[error]
	done      chan struct{}
	breakOnce sync.Once
	closeOnce sync.Once
}

// Lane is what belongs to one virtqueue, or queue pair: one ring each way. In and Out may be used by different goroutines
// at the same time, and should be where one of them can block.
type Lane struct {
	In  *Reader
	Out *Writer

	link     *Link
	index    int
	epoch    atomic.Uint32
	tags     *tags        // device of a Requests link
	inFlight atomic.Int32 // plugin of a Requests link
}

// settled is what the handshake has agreed on.
type settled struct {
	purpose  Purpose
	device   bool
	geo      geometry
	credits  uint32
	features Features
	epoch    uint32
}

// assemble takes over conn, mem and events. The caller starts watchPeer.
func assemble(s settled, conn *net.UnixConn, mem []byte, events []*event) *Link {
	l := &Link{
		purpose: s.purpose, device: s.device, geo: s.geo, credits: s.credits, features: s.features,
		conn: conn, mem: mem, events: events, done: make(chan struct{}), lanes: make([]Lane, s.geo.lanes),
	}
	l.epoch.Store(s.epoch)
	for i := range l.lanes {
		lane := &l.lanes[i]
		lane.link, lane.index = l, i
		lane.epoch.Store(s.epoch)
		in, out := l.eventsOf(i)
		up, down := s.geo.rings(mem, i)
		if s.device {
			up, down = down, up
		}
		lane.In = &Reader{lane: lane, ring: up, ready: in[0], space: in[1], seen: s.epoch}
		lane.Out = &Writer{lane: lane, ring: down, ready: out[0], space: out[1], reserved: -1}
		if s.device && s.purpose == Requests {
			lane.tags = newTags(i, s.credits)
			lane.In.answered = make([]uint16, 0, s.credits)
		}
	}
	return l
}

const eventsPerLane = 4

// eventsOf returns the events {records, room} of lane i's rings as this end sees them. On the wire those of the up ring
// come first.
func (l *Link) eventsOf(i int) (in, out []*event) {
	e := l.events[i*eventsPerLane:][:eventsPerLane]
	if l.device {
		return e[2:], e[:2]
	}
	return e[:2], e[2:]
}

// Purpose returns what the link carries.
func (l *Link) Purpose() Purpose { return l.purpose }

// Lanes returns how many lanes there are.
func (l *Link) Lanes() int { return len(l.lanes) }

// Lane returns lane i of Lanes.
func (l *Link) Lane(i int) *Lane { return &l.lanes[i] }

// MaxPayload returns the bytes that a record may carry.
func (l *Link) MaxPayload() int { return int(l.geo.maxPayload) }

// Credits returns how many requests a lane may have in flight, 0 on a Frames link.
func (l *Link) Credits() int { return int(l.credits) }

// Features returns the offloads that both ends know. What a guest's driver accepts comes with each KindEpoch record.
func (l *Link) Features() Features { return l.features }

// Epoch returns the number of the epoch: at the device the present one, at the plugin the one in which the link began.
func (l *Link) Epoch() uint32 { return l.epoch.Load() }

// Done is closed when the link goes down.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err returns why the link is down, nil while it is up.
func (l *Link) Err() error {
	if p := l.err.Load(); p != nil {
		return *p
	}
	return nil
}

func (l *Link) isDown() bool { return l.err.Load() != nil }

// NewEpoch starts a new epoch after the device was reset: records of the plugin's that are still under way are passed
// over, replies to earlier requests bring back their credits and nothing else. features are the offloads that the new
// driver accepts. Only the device calls it, while nobody uses the lanes.
func (l *Link) NewEpoch(features Features) error {
	if !l.device {
		panic("link: only the device starts epochs")
	}
	if err := l.Err(); err != nil {
		return err
	}
	epoch := l.epoch.Add(1)
	for i := range l.lanes {
		lane := &l.lanes[i]
		lane.In.Release()
		lane.epoch.Store(epoch)
		if lane.tags != nil {
			lane.tags.abandon()
		}
		if err := lane.Out.newEpoch(features & l.features); err != nil {
			return err
		}
	}
	return l.Err()
}

// mayRead tells whether this end reads records of kind, mayWrite whether it writes them.
func (l *Link) mayRead(k Kind) bool  { return carries(l.purpose, k, !l.device) }
func (l *Link) mayWrite(k Kind) bool { return k != KindEpoch && carries(l.purpose, k, l.device) }

// carries tells whether records of kind k go from the device to the plugin (up), or the other way.
func carries(p Purpose, k Kind, up bool) bool {
	switch k {
	case KindFrame:
		return p == Frames
	case KindRequest, KindNotice:
		return p == Requests && up
	case KindReply:
		return p == Requests && !up
	case KindEpoch:
		return up
	}
	return false
}

// Break takes the link down for the given reason and hangs up, so that the peer notices. It returns the reason, which is
// an earlier one if the link was down before. Memory stays mapped until Close.
func (l *Link) Break(cause error) error {
	l.breakOnce.Do(func() {
		l.err.Store(&cause)
		close(l.done)
		_ = l.conn.Close()
		for i := range l.lanes {
			l.lanes[i].In.ready.interrupt()
			l.lanes[i].Out.space.interrupt()
		}
	})
	return l.Err()
}

// Close takes the link down and unmaps its memory. The goroutines that use the lanes must have ended: Done and the
// errors of their calls tell them to.
func (l *Link) Close() {
	_ = l.Break(ErrClosed)
	l.closeOnce.Do(func() {
		l.watch.Wait()
		for _, e := range l.events {
			e.close()
		}
		_ = unix.Munmap(l.mem)
	})
}

// watchPeer waits for the peer to hang up. After the handshake there is nothing left to say.
func (l *Link) watchPeer() {
	var b [1]byte
	cause := ErrPeerGone
	if n, _, _, _, _ := l.conn.ReadMsgUnix(b[:], nil); n > 0 {
		cause = errors.Join(ErrViolation, errors.New("message after the handshake"))
	}
	_ = l.Break(cause)
	for i := range l.lanes {
		l.lanes[i].In.space.unblock()
		l.lanes[i].Out.ready.unblock()
		l.lanes[i].Out.space.unblock()
	}
}
