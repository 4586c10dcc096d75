//go:build linux

package fs

import (
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
)

// lane is what the device knows about a queue's requests, from one activation to the next.
type lane struct {
	// slots has one entry for each credit of the link's lane, by link.Tag.Slot.
	slots []request
	// lost are requests that no reply will come to: the link which they went to was replaced, or is not that of the
	// device which saved them.
	lost []ticket
}

// request is one that waits for its reply.
type request struct {
	live   bool
	unique uint64
	chain  virtio.Chain // the device has popped it; between activations only Head means something
}

// ticket is what is left of a request.
type ticket struct {
	head   uint16
	unique uint64
}

// tickets returns all requests that have no answer yet.
func (l *lane) tickets() []ticket {
	all := append([]ticket(nil), l.lost...)
	for i := range l.slots {
		if r := &l.slots[i]; r.live {
			all = append(all, ticket{head: r.chain.Head, unique: r.unique})
		}
	}
	return all
}

// forget drops all requests.
func (l *lane) forget() {
	l.lost = nil
	for i := range l.slots {
		l.slots[i].live = false
	}
}

// newLanes returns lanes for l, with the requests that were lost with the link before it.
func newLanes(before []lane, l *link.Link) []lane {
	lanes := make([]lane, len(before))
	for i := range before {
		lanes[i].lost = before[i].tickets()
		lanes[i].slots = make([]request, l.Credits())
	}
	return lanes
}
