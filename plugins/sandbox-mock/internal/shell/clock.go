package shell

import (
	"sync"
	"time"
)

// clock measures for how long a process was at work: neither asleep, nor waiting for input, output or a child. That is the wall
// time of its work, so a busy host makes it more than a processor would have taken.
type clock struct {
	mu      sync.Mutex
	spent   time.Duration
	since   time.Time // of the present work, when nothing is waited for
	waits   int
	napping bool // waits until the next wake, see nap
	stopped bool

	limit  time.Duration
	expire func()
	timer  *time.Timer
}

// shortestLook is how soon a clock that is about to expire is looked at again.
const shortestLook = 10 * time.Millisecond

func (c *clock) start(limit time.Duration, expire func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since, c.expire = time.Now(), expire
	c.arm(limit)
}

// lower sets a limit.
func (c *clock) lower(limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arm(limit)
}

func (c *clock) arm(limit time.Duration) {
	if limit <= 0 || c.stopped {
		return
	}
	c.limit = limit
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer = time.AfterFunc(max(limit-c.total(), shortestLook), c.look)
}

// look ends the process when its time is over, and else comes back when it can be.
func (c *clock) look() {
	c.mu.Lock()
	left := c.limit - c.total()
	over := left <= 0 && !c.stopped
	if !over && !c.stopped {
		c.timer.Reset(max(left, shortestLook))
	}
	c.mu.Unlock()
	if over {
		c.expire()
	}
}

func (c *clock) total() time.Duration {
	if c.waits > 0 {
		return c.spent
	}
	return c.spent + time.Since(c.since)
}

// wait stops the clock until resume.
func (c *clock) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits == 0 {
		c.spent += time.Since(c.since)
	}
	c.waits++
}

func (c *clock) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits--; c.waits == 0 {
		c.since = time.Now()
	}
}

// nap stops the clock for something of the interpreter whose end nobody tells, such as wait: until the process does something.
func (c *clock) nap() {
	if c.setNapping(true) {
		c.wait()
	}
}

// wake ends a nap.
func (c *clock) wake() {
	if c.setNapping(false) {
		c.resume()
	}
}

func (c *clock) setNapping(napping bool) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed = c.napping != napping
	c.napping = napping
	return changed
}

func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	if c.timer != nil {
		c.timer.Stop()
	}
}
