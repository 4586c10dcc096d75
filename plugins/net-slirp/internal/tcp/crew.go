package tcp

import "sync"

// maxIdle is how many goroutines wait for more to do.
const maxIdle = 8

// crew runs what has to wait in goroutines, which stay for a while: a new one's stack would grow in steps as deep as netstack is.
type crew struct {
	ends sync.WaitGroup
	work chan func()
	done chan struct{}

	mu     sync.Mutex
	idle   int
	closed bool
}

func newCrew() crew { return crew{work: make(chan func()), done: make(chan struct{})} }

// goes runs do in a goroutine that ends waits for, unless the crew is closed.
func (c *crew) goes(do func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	select {
	case c.work <- do: // to one that waits
		return true
	default:
	}
	c.ends.Go(func() {
		for do != nil {
			do()
			do = c.next()
		}
	})
	return true
}

// next waits for more to do, nil if there is enough of those who wait.
func (c *crew) next() func() {
	if !c.wait(1) {
		return nil
	}
	defer c.wait(-1)
	select {
	case do := <-c.work:
		return do
	case <-c.done:
		return nil
	}
}

func (c *crew) wait(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && (c.closed || c.idle >= maxIdle) {
		return false
	}
	c.idle += n
	return true
}

// close lets those end who have nothing to do, and takes nothing any more.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.done)
	}
}
