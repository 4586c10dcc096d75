package vsock

import (
	"golang.org/x/sys/unix"
)

// watch waits on the connection's unix socket for receive: first for bytes or EOF, after EOF for the host program to
// close its other direction too. It ends with the connection.
func (c *conn) watch() {
	for c.poll(unix.POLLIN|unix.POLLHUP|unix.POLLERR) && c.becameReadable() {
		select {
		case <-c.done:
			return
		case <-c.rearm:
		}
		if c.ended() {
			break
		}
	}
	if c.poll(unix.POLLHUP | unix.POLLERR) {
		c.hungUp()
	}
}

// poll blocks until the socket reports one of events, or returns false when it was closed.
func (c *conn) poll(events int16) bool {
	return c.raw.Read(func(fd uintptr) bool { return pollNow(fd)&events != 0 }) == nil
}

// pollNow returns what the socket reports. poll(2) reports a hang-up, which is both directions closed, apart from
// EOF; read(2) cannot tell them apart.
func pollNow(fd uintptr) int16 {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds[:], 0)
		if err != unix.EINTR {
			return fds[0].Revents
		}
	}
}

func (c *conn) becameReadable() bool {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.state == stateGone {
		return false
	}
	c.readable = true
	c.schedule()
	return true
}

func (c *conn) ended() bool {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	return c.hostEOF
}

// hostEnded is called when all bytes of the host program have gone to the guest. An error means that it is gone
// altogether; else watch finds out whether it has closed only this direction.
func (c *conn) hostEnded(err error) {
	c.hostEOF = true
	c.await()
	if err != nil {
		c.shutdown(shutBoth)
		return
	}
	if c.guestFlags&shutReceive == 0 {
		c.shutdown(shutSend)
	}
}

// hungUp is called when the host program has closed both directions, and its bytes have gone to the guest.
func (c *conn) hungUp() {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.state != stateGone {
		c.shutdown(shutBoth)
	}
}
