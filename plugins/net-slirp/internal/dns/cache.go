package dns

import (
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// maxCached bounds the cache, in bytes. A guest can make answers of its own without end, and as large as they come.
const maxCached = 4 << 20

type key struct {
	name string // canonical
	typ  dnsmessage.Type
}

// cache holds answers until their time has passed.
type cache struct {
	mu      sync.Mutex
	answers map[key]cached
	size    int // of all of them
}

type cached struct {
	answer *answer // is not changed any more
	since  time.Time
}

// get returns an answer and its age.
func (c *cache) get(k key, now time.Time) (*answer, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.answers[k]
	if !ok {
		return nil, 0
	}
	age := now.Sub(e.since)
	if age >= e.answer.ttl {
		c.drop(k)
		return nil, 0
	}
	return e.answer, age
}

func (c *cache) put(k key, a *answer, now time.Time) {
	if a.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil {
		c.answers = make(map[key]cached)
	}
	c.drop(k)
	if c.size+a.size() > maxCached {
		c.makeRoom(now)
	}
	c.answers[k] = cached{a, now}
	c.size += a.size()
}

func (c *cache) drop(k key) {
	if e, ok := c.answers[k]; ok {
		c.size -= e.answer.size()
		delete(c.answers, k)
	}
}

// makeRoom drops what has ended; if too much has not, a quarter goes, whatever it is. That is room for the greatest answer.
func (c *cache) makeRoom(now time.Time) {
	for k, e := range c.answers {
		if now.Sub(e.since) >= e.answer.ttl {
			c.drop(k)
		}
	}
	for k := range c.answers {
		if c.size <= maxCached*3/4 {
			return
		}
		c.drop(k)
	}
}
