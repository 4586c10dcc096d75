package vsock

// resetQueue holds resets of connections that the table no longer has, or never had. A guest that makes us send more
// than it takes loses some: those connections run into its own time-outs.
type resetQueue struct {
	headers []header
	limit   int
}

func (q *resetQueue) push(h header) bool {
	if len(q.headers) >= q.limit {
		return false
	}
	q.headers = append(q.headers, h)
	return true
}

func (q *resetQueue) pop() (header, bool) {
	if len(q.headers) == 0 {
		return header{}, false
	}
	h := q.headers[0]
	q.headers = q.headers[1:]
	return h, true
}

func (q *resetQueue) clear() { q.headers = nil }

// readyList is the connections that may have a packet for the guest, in the order in which they will be served.
type readyList struct {
	head, tail *conn
}

// add appends c unless it is listed already.
func (l *readyList) add(c *conn) {
	if c.listed {
		return
	}
	c.listed, c.next = true, nil
	if l.tail == nil {
		l.head = c
	} else {
		l.tail.next = c
	}
	l.tail = c
}

// pop removes the first connection, or returns nil.
func (l *readyList) pop() *conn {
	c := l.head
	if c == nil {
		return nil
	}
	if l.head = c.next; l.head == nil {
		l.tail = nil
	}
	c.listed, c.next = false, nil
	return c
}
