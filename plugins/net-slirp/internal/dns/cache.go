package dns

import (
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// maxCached bounds the cache. A guest can make answers of its own without end.
const maxCached = 4096

type key struct {
	name string // canonical
	typ  dnsmessage.Type
}

// cache holds answers until their time has passed.
type cache struct {
	mu      sync.Mutex
	answers map[key]cached
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
		delete(c.answers, k)
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
	if _, ok := c.answers[k]; !ok && len(c.answers) >= maxCached {
		c.makeRoom(now)
	}
	c.answers[k] = cached{a, now}
}

// makeRoom drops what has ended, or else any.
func (c *cache) makeRoom(now time.Time) {
	for k, e := range c.answers {
		if now.Sub(e.since) >= e.answer.ttl {
			delete(c.answers, k)
		}
	}
	for k := range c.answers {
		if len(c.answers) < maxCached {
			return
		}
		delete(c.answers, k)
	}
}
