package virtio

// Adopt takes a chain over that the device popped before it was stopped and has not pushed: by its head, from this queue or
// from an earlier one over the same rings, at whose Base this one goes on. The chain is read again into c, since the guest's
// memory may be mapped elsewhere now, and judged again, since the guest may have changed it. A device adopts all its chains
// before it pops or pushes any.
func (q *Queue) Adopt(head uint16, c *Chain) error {
	if q.broken != nil {
		return q.broken
	}
	if head >= q.size {
		return q.fail("head %d of a queue of %d", head, q.size)
	}
	if err := q.walk(head, c); err != nil {
		return q.fail("chain at head %d: %w", head, err)
	}
	if !q.inFlight[head] {
		q.inFlight[head] = true
		// A new queue takes both rings to be at Base. The used ring is behind by what is in flight.
		q.nextUsed--
		q.published--
	}
	return nil
}
