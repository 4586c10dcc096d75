package virtio

// Lend returns the rings for somebody else who serves the queue, such as vhost in the kernel: descriptors, avail and used ring, in
// guest memory. Until Return, nobody pops or pushes here.
func (q *Queue) Lend() (desc, avail, used []byte) { return q.desc, q.avail, q.used }

// Return takes a queue back that somebody else has served up to index base of both rings, with nothing in flight.
func (q *Queue) Return(base uint16) {
	q.nextAvail, q.nextUsed, q.published = base, base, base
}

// Call returns the notification to the driver, for those whom the queue is lent to.
func (q *Queue) Call() Call { return q.call }
