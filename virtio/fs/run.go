//go:build linux

package fs

import (
	"context"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/virtio"
)

// run is the time between two of: activation, stop, change of the link. Its goroutines use one set of queues and one link.
type run struct {
	d     *Device
	a     virtio.Activation
	tasks sync.WaitGroup

	requests     context.Context // ends when no more requests are to be taken
	stopRequests context.CancelFunc
	replies      context.Context // ends when replies are not waited for any longer
	stopReplies  context.CancelFunc
}

func newRun(d *Device, a virtio.Activation) *run {
	r := &run{d: d, a: a}
	r.requests, r.stopRequests = context.WithCancel(context.Background())
	r.replies, r.stopReplies = context.WithCancel(context.Background())
	return r
}

func (r *run) start() {
	for i := range r.d.lanes {
		if i >= len(r.a.Queues) || r.a.Queues[i] == nil {
			continue
		}
		s := newServer(r, i, r.a.Queues[i])
		r.tasks.Go(func() {
			var err error
			if fault := virtio.Protect(func() { err = s.serve() }); fault != nil {
				err = fault
			}
			if err == nil {
				return
			}
			s.abandon()
			if r.a.Broken != nil {
				r.a.Broken(i, err)
			}
		})
	}
}

func (r *run) stop(drain time.Duration) {
	r.stopRequests()
	if drain == 0 {
		r.stopReplies()
	}
	timer := time.AfterFunc(drain, r.stopReplies)
	r.tasks.Wait()
	timer.Stop()
	r.stopReplies()
}
