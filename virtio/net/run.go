//go:build linux

package net

import (
	"context"
	"sync"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
)

const (
	// batch and batchBytes bound what is moved between two publications: often enough that the other side works at the
	// same time, seldom enough that kicks and shared counters cost little.
	batch      = 64
	batchBytes = 256 << 10
)

// run is the time between two of: activation, stop, change of the link. Its goroutines use one set of queues and one link.
type run struct {
	d      *Device
	a      virtio.Activation
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	receivers []*receiver
}

// Queues of pair i.
func receiveQueue(i int) int  { return 2 * i }
func transmitQueue(i int) int { return 2*i + 1 }

func (r *run) queue(i int) *virtio.Queue {
	if i < len(r.a.Queues) {
		return r.a.Queues[i]
	}
	return nil
}

// controlQueue returns where the driver looks for it, which depends on what it accepted (section 5.1.2).
func (r *run) controlQueue() int {
	if r.a.Features&featureMultiple == 0 {
		return 2
	}
	return 2 * r.d.cfg.Pairs
}

// controlled tells whether the driver says how many pairs it uses. Without a control queue it uses those that it set up: a
// VMM that lends queues by vhost-user keeps the control queue to itself.
func (r *run) controlled() bool {
	return r.a.Features&featureControl != 0 && r.queue(r.controlQueue()) != nil
}

// start makes what serves the queues, all of it before the first goroutine runs, since the controller reaches the receivers.
func (r *run) start() {
	controlled := r.controlled()
	var transmitters []*transmitter
	for i := range r.d.cfg.Pairs {
		rx, tx := r.queue(receiveQueue(i)), r.queue(transmitQueue(i))
		if controlled && i > 0 && r.a.Features&featureMultiple == 0 {
			rx, tx = nil, nil // one of them is the control queue
		}
		if tx != nil {
			transmitters = append(transmitters, newTransmitter(r, i, tx))
		}
		// What comes for the first pair waits for its queue, since every driver uses that pair: it may be stopped for a moment.
		if r.d.link != nil && (rx != nil || i > 0) {
			r.receivers = append(r.receivers, newReceiver(r, i, rx, controlled))
		}
	}
	for _, t := range transmitters {
		r.serve(transmitQueue(t.pair), t.serve)
	}
	for _, rx := range r.receivers {
		r.serve(receiveQueue(rx.pair), rx.serve)
	}
	if controlled {
		c := &controller{r: r, q: r.queue(r.controlQueue())}
		r.serve(r.controlQueue(), c.serve)
	}
	r.tasks.Go(r.announce)
}

// serve runs one queue's goroutine.
func (r *run) serve(index int, f func(context.Context) error) {
	r.tasks.Go(func() {
		var err error
		if fault := virtio.Protect(func() { err = f(r.ctx) }); fault != nil {
			err = fault
		}
		if err != nil && r.a.Broken != nil {
			r.a.Broken(index, err)
		}
	})
}

// announce tells the driver of changes of the carrier, also of one that came while the device was stopped.
func (r *run) announce() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.d.changed:
			if r.a.ConfigChanged != nil {
				r.a.ConfigChanged()
			}
		}
	}
}

// agreed are the offloads that driver, device and the present plugin agree on.
func (r *run) agreed() link.Features {
	f := link.Features(r.a.Features) & r.d.offloads
	if r.d.link != nil {
		f &= r.d.link.Features()
	}
	return f
}
