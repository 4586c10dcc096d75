package virtio

import (
	"errors"
	"sync"
)

// Workers runs the goroutines of a device between Activate and Stop, one for each queue that needs one. The zero value is ready.
type Workers struct {
	mu   sync.Mutex // held by Start and Stop, since a device's Close may come while a transport still runs
	stop chan struct{}
	wake []Waiter // what workers may wait for in place of stop
	done sync.WaitGroup

	config  sync.Mutex // guards what follows; a worker may hold it, hence apart from mu
	changed func()     // Activation.ConfigChanged while the device runs
	due     bool
}

// A Worker serves a queue until stop is closed, upon which a Waiter is woken, when it returns nil, or until the queue is broken, when it returns why. It has
// pushed or returned every chain then.
type Worker func(q *Queue, stop <-chan struct{}) error

// Start runs workers[i] for queue i, under Protect, and reports what they return to a.Broken. Queues that the driver has not set
// up and workers that are nil are left out.
func (w *Workers) Start(a Activation, workers ...Worker) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != nil {
		return errors.New("virtio: activated while it runs")
	}
	stop := make(chan struct{})
	w.stop = stop
	w.announce(a.ConfigChanged)
	for i, work := range workers {
		if work == nil || i >= len(a.Queues) || a.Queues[i] == nil {
			continue
		}
		if kick, ok := a.Queues[i].Kick().(Waiter); ok {
			w.wake = append(w.wake, kick)
		}
		w.done.Go(func() {
			var err error
			if fault := Protect(func() { err = work(a.Queues[i], stop) }); fault != nil {
				err = fault
			}
			if err != nil && a.Broken != nil {
				a.Broken(i, err)
			}
		})
	}
	return nil
}

// Stop ends the workers and waits for them.
func (w *Workers) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop == nil {
		return
	}
	close(w.stop)
	for _, kick := range w.wake {
		kick.Wake()
	}
	w.done.Wait()
	w.stop, w.wake = nil, nil
	w.announce(nil)
}

// ConfigChanged tells the driver that the configuration space has changed: now, or when the device starts again.
func (w *Workers) ConfigChanged() {
	w.config.Lock()
	defer w.config.Unlock()
	if w.due = w.changed == nil; !w.due {
		w.changed()
	}
}

// announce sets how the driver is told, and tells it what was due.
func (w *Workers) announce(changed func()) {
	w.config.Lock()
	defer w.config.Unlock()
	w.changed = changed
	if w.due && changed != nil {
		w.due = false
		changed()
	}
}

// serveBatch is how many chains Serve handles between two publications.
const serveBatch = 64

// Serve is the worker of a queue whose chains are answered at once, in order: handle returns how many bytes it has written.
// It does not keep the chain, and bounds what it does for one, since Stop waits for it.
func Serve(q *Queue, stop <-chan struct{}, handle func(*Chain) int) error {
	var c Chain
	for {
		q.DisableKicks()
		more, err := serveSome(q, stop, &c, handle)
		if perr := q.Publish(); err == nil {
			err = perr
		}
		if err != nil {
			return err
		}
		if more || q.EnableKicks() {
			if stopped(stop) {
				return nil
			}
			continue
		}
		select {
		case <-stop:
			return nil
		case <-q.Kick().C():
		}
	}
}

// serveSome handles some chains and reports whether there may be more.
func serveSome(q *Queue, stop <-chan struct{}, c *Chain, handle func(*Chain) int) (more bool, err error) {
	for range serveBatch {
		if stopped(stop) {
			return true, nil
		}
		ok, err := q.Pop(c)
		if !ok {
			return false, err
		}
		q.Push(c, handle(c))
	}
	return true, nil
}

// Want is what a worker that delivers waits for before it goes on.
type Want int

const (
	// WantNothing is a pause for Publish: there may be more to deliver.
	WantNothing Want = iota
	// WantBuffers: there is something, and the guest has no buffer left for it.
	WantBuffers
	// WantArrivals: all that there is has been delivered.
	WantArrivals
)

// Deliver is the worker of a queue whose chains wait in the ring until there is something for the guest, which arrived tells.
// some pushes what there is, up to a bound of its own, since Stop waits for it.
func Deliver(q *Queue, stop, arrived <-chan struct{}, some func() (Want, error)) error {
	for {
		q.DisableKicks()
		want, err := some()
		if perr := q.Publish(); err == nil {
			err = perr
		}
		if err != nil {
			return err
		}
		var kick <-chan struct{}
		if want == WantBuffers {
			if q.EnableKicks() {
				want = WantNothing
			}
			kick = q.Kick().C()
		}
		if want == WantNothing {
			if stopped(stop) {
				return nil
			}
			continue
		}
		select {
		case <-stop:
			return nil
		case <-kick:
		case <-arrived:
		}
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}
