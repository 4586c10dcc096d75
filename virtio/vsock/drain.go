package vsock

// drain writes what is pending until nothing is left. It runs while writing is set, and is the only writer then.
func (c *conn) drain() {
	var chunk []byte
	for {
		if chunk = c.nextChunk(chunk); len(chunk) == 0 {
			return
		}
		for left := chunk; len(left) > 0; {
			n, err := c.unix.Write(left[:min(len(left), drainChunk)])
			if !c.wrote(n, err) {
				return
			}
			left = left[n:]
		}
	}
}

// nextChunk takes all that is pending and leaves the buffer of the chunk before, unless it is large. Without any
// bytes left, writing has ended.
func (c *conn) nextChunk(before []byte) []byte {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	chunk := c.pending
	c.pending = nil
	if len(chunk) == 0 {
		c.writing = false
		c.settle()
		return nil
	}
	if cap(before) <= keepBuffer {
		c.pending = before[:0]
	}
	return chunk
}

func (c *conn) wrote(n int, err error) bool {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.consumed(n)
	if err != nil {
		c.stopWriting()
	}
	return err == nil
}

// stopWriting is called when the host program no longer reads: what the guest sends is dropped, and the guest is
// told.
func (c *conn) stopWriting() {
	c.writing, c.deaf = false, true
	c.forwarded, c.pending = c.received, nil
	c.shutdown(shutReceive)
	c.settle()
}
