package nic

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/link"
)

// session is one link, as long as it is up.
type session struct {
	link  *link.Link
	lanes []*lane
}

// lane is one queue pair: a goroutine reads what the guest sends; whoever has a packet for the guest writes it under mu.
type lane struct {
	e      *Endpoint
	index  int
	in     *link.Reader
	agreed atomic.Uint64 // link.Features that the guest's driver has accepted

	mu      sync.Mutex
	out     *link.Writer // of the queue's mover while queue is not empty, else of the holder of mu
	down    bool         // the ring is gone
	queue   []*stack.PacketBuffer
	cut     int           // bytes of the first packet's payload that have gone as segments of their own
	waiting chan struct{} // the queue is not empty any more
}

// Serve carries frames between l and the stack until l goes down, which is its error, or ctx ends. One link at a time; the caller
// closes it.
func (e *Endpoint) Serve(ctx context.Context, l *link.Link) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{link: l}
	for i := range l.Lanes() {
		s.lanes = append(s.lanes, &lane{e: e, index: i, in: l.Lane(i).In, out: l.Lane(i).Out, waiting: make(chan struct{}, 1)})
	}
	e.steer.reset()
	e.session.Store(s)
	var ends sync.WaitGroup
	for _, lane := range s.lanes {
		ends.Go(func() {
			defer cancel()
			_ = lane.read(ctx) // the link knows the reason
		})
		ends.Go(func() { lane.moveQueue(ctx) })
	}
	ends.Wait()
	e.session.CompareAndSwap(s, nil)
	for _, lane := range s.lanes {
		lane.close()
	}
	return l.Err()
}

// read takes what the guest sends until the link is down or ctx ends.
func (l *lane) read(ctx context.Context) error {
	var rec link.Record
	for {
		ok, err := l.in.Next(&rec)
		if err != nil {
			return err
		}
		if ok {
			l.take(&rec)
			continue
		}
		// What was delivered is worked on before anybody looks for more: waiting for frames may mean looking for some microseconds.
		l.in.Release()
		runtime.Gosched()
		if err := l.in.Wait(ctx); err != nil {
			return err
		}
	}
}

func (l *lane) take(rec *link.Record) {
	switch rec.Kind {
	case link.KindEpoch:
		l.agreed.Store(uint64(rec.Features))
	case link.KindFrame:
		l.e.count.sentFrames.Add(1)
		l.e.count.sentBytes.Add(uint64(len(rec.Payload)))
		l.deliver(rec.Net, rec.Payload)
	}
}

func (l *lane) features() link.Features { return link.Features(l.agreed.Load()) }

// close drops what is left. Afterwards nobody touches the ring.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for _, pkt := range l.queue {
		pkt.DecRef()
	}
	l.queue = nil
}
