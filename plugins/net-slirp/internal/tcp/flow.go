package tcp

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
)

// state is how far a flow has come.
type state uint8

const (
	dialing state = iota // the host's socket connects; the guest waits
	shaking              // a goroutine completes the guest's handshake
	naming               // the first bytes are awaited
	calling              // the guest is called, for a connection from the host
	moving
	ended
)

// What a side is ready for. Bits are set by events, and cleared by whoever finds the contrary.
const (
	hostIn uint32 = 1 << iota
	hostOut
	hostHup // nothing comes after what is there
	guestIn
	guestOut
	guestEvent // anything else of the guest's side
)

// flow is one connection. Ready and NotifyEvent bring events, and Run works on them; everything else is under mu.
type flow struct {
	f       *Forwarder
	asked   policy.Flow
	verdict policy.Verdict

	events atomic.Uint32
	posted atomic.Bool

	mu                 sync.Mutex
	state              state
	upEnded, downEnded bool
	inbound            bool                       // opened from the host
	opening            *stack.TransportEndpointID // while it counts among those that are being opened
	fd                 int                        // the host's socket, -1 without one
	ready              uint32
	request            *tcp.ForwarderRequest // until the handshake has ended
	ep                 tcpip.Endpoint
	wq                 waiter.Queue
	entry              waiter.Entry
	timer              *time.Timer
	since              time.Time
	sent, received     uint64
	writer             hostWriter
	reader             hostReader
}

// Ready implements loop.Watcher.
func (fl *flow) Ready(events uint32) {
	var bits uint32
	if events&(loop.Readable|loop.HungUp|loop.Failed) != 0 {
		bits |= hostIn
	}
	if events&(loop.Writable|loop.Failed) != 0 {
		bits |= hostOut
	}
	if events&(loop.HungUp|loop.Failed) != 0 {
		bits |= hostHup
	}
	fl.events.Or(bits)
	fl.Run()
}

// NotifyEvent implements waiter.EventListener. Netstack holds locks of the endpoint meanwhile.
func (fl *flow) NotifyEvent(mask waiter.EventMask) {
	bits := guestEvent
	if mask&(waiter.ReadableEvents|waiter.EventHUp|waiter.EventErr) != 0 {
		bits |= guestIn
	}
	if mask&(waiter.WritableEvents|waiter.EventHUp|waiter.EventErr) != 0 {
		bits |= guestOut
	}
	fl.events.Or(bits)
	fl.post()
}

func (fl *flow) post() {
	if !fl.posted.Swap(true) {
		fl.f.cfg.Loop.Post(fl)
	}
}

// Run implements loop.Task: it does what there is to do and never waits.
func (fl *flow) Run() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.posted.Store(false)
	fl.ready |= fl.events.Swap(0)
	switch fl.state {
	case dialing:
		if fl.ready&hostOut != 0 {
			fl.dialed(fl.dialError())
		}
	case naming:
		fl.lookForName()
	case calling:
		fl.called()
	case moving:
		fl.move()
	}
}

// dialError says how an attempt to connect has ended. The kernel need not be asked if it told of nothing bad.
func (fl *flow) dialError() error {
	if fl.ready&hostHup == 0 {
		return nil
	}
	return hostsock.Error(fl.fd)
}

// established begins to move bytes. The endpoint may have something to say already.
func (fl *flow) established() {
	fl.state = moving
	fl.ready |= guestIn | guestOut | hostOut
	fl.stopTimer()
	fl.endOpening()
	fl.since = time.Now()
	fl.f.count.opened.Add(1)
	fl.f.cfg.Log.Opened(fl.asked, fl.verdict)
	fl.post()
}

// adopt takes the guest's endpoint.
func (fl *flow) adopt(ep tcpip.Endpoint) {
	fl.ep = ep
	tune(ep, fl.f.share())
	fl.entry.Init(fl, waiter.ReadableEvents|waiter.WritableEvents|waiter.EventHUp|waiter.EventErr)
	fl.wq.EventRegister(&fl.entry)
}

// watch has the loop tell of the host's socket.
func (fl *flow) watch(fd int) error {
	fl.fd = fd
	fl.writer.fd, fl.reader.fd = fd, fd
	return fl.f.cfg.Loop.Watch(fd, loop.Readable|loop.Writable|unix.EPOLLRDHUP, fl)
}

func (fl *flow) endOpening() {
	if fl.opening != nil {
		fl.f.opened(*fl.opening)
		fl.opening = nil
	}
}

func (fl *flow) stopTimer() {
	if fl.timer != nil {
		fl.timer.Stop()
		fl.timer = nil
	}
}

// after has do run under mu in a while, if the flow is still in the same state.
func (fl *flow) after(d time.Duration, do func()) {
	fl.stopTimer()
	in := fl.state
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		fl.mu.Lock()
		defer fl.mu.Unlock()
		if fl.state == in && fl.timer == timer {
			do()
		}
	})
	fl.timer = timer
}

// finish ends the flow. reset says that the ends are to learn of it by a reset.
func (fl *flow) finish(reset bool) {
	if fl.state == ended {
		return
	}
	was := fl.state
	fl.state = ended
	fl.stopTimer()
	if reset {
		fl.f.count.resets.Add(1)
	}
	if fl.fd >= 0 {
		fl.f.cfg.Loop.Forget(fl.fd)
		if reset {
			hostsock.Reset(fl.fd)
		} else {
			_ = unix.Close(fl.fd)
		}
		fl.fd = -1
	}
	if fl.request != nil && was != shaking { // else whoever completes the handshake sees that we have ended
		fl.request.Complete(reset)
		fl.request = nil
	}
	if fl.request == nil {
		fl.endOpening()
	}
	if fl.ep != nil {
		fl.wq.EventUnregister(&fl.entry)
		if reset {
			fl.ep.Abort()
		} else {
			fl.ep.Close()
		}
	}
	if was == moving {
		fl.f.count.closed.Add(1)
		fl.f.cfg.Log.Closed(fl.asked, fl.verdict, fl.sent, fl.received, time.Since(fl.since))
	}
	fl.f.forget(fl)
}

// abort ends the flow from outside.
func (fl *flow) abort() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.finish(true)
}

// reevaluate ends the flow if the policy now forbids it.
func (fl *flow) reevaluate() bool {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.inbound || fl.state == ended {
		return false
	}
	v := fl.f.cfg.Policy.Recheck(fl.asked, fl.verdict)
	if v.Allow || v.NeedsName && fl.state <= naming {
		return false
	}
	fl.f.cfg.Log.Denied(fl.asked, v)
	fl.finish(true)
	return true
}
