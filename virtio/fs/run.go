//go:build linux

package fs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/link"
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

// stallTime is how long a goroutine may take to end. They do at once, unless the plugin holds up a write to an eventfd of the
// link's, which only the link's end undoes.
const stallTime = 5 * time.Second

var errStalled = fmt.Errorf("%w: it holds up an event", link.ErrViolation)

// stop gives replies the time of drain to come. A plugin that keeps a goroutine from ending loses its link.
func (r *run) stop(drain time.Duration) {
	r.stopRequests()
	if drain == 0 {
		r.stopReplies()
	}
	drained := time.AfterFunc(drain, r.stopReplies)
	defer drained.Stop()
	if l := r.d.link; l != nil {
		stalled := time.AfterFunc(drain+r.d.patience, func() { _ = l.Break(errStalled) })
		defer stalled.Stop()
	}
	r.tasks.Wait()
	r.stopReplies()
}
