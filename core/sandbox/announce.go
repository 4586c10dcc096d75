package sandbox

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// announcements listens where the guest announces itself. Only the first connection is heard: the agent is the first program
// of the guest, and whoever connects later is not the agent.
type announcements struct {
	listener net.Listener
	done     chan struct{} // closed when the connection has ended, or there will be none

	mu     sync.Mutex
	conn   net.Conn
	closed bool
	failed *boot.Announcement // what the agent says has failed
}

// listenAnnouncements calls heard with each announcement, from one goroutine, which close waits for.
func listenAnnouncements(vsockPath string, heard func(boot.Announcement)) (*announcements, error) {
	path := fmt.Sprintf("%s_%d", vsockPath, announcePort)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the guest: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listen for the guest: %w", err)
	}
	a := &announcements{listener: l, done: make(chan struct{})}
	go a.serve(heard)
	return a, nil
}

func (a *announcements) serve(heard func(boot.Announcement)) {
	defer close(a.done)
	conn, err := a.listener.Accept()
	_ = a.listener.Close()
	if err != nil {
		return // closed: nobody came
	}
	defer conn.Close()
	if !a.own(conn) {
		return
	}
	// An end without a last announcement needs no word of its own: the guest then falls silent, or dies.
	_ = boot.ReadAnnouncements(conn, func(m boot.Announcement) {
		if m.Stage == boot.StageFailed {
			a.mu.Lock()
			a.failed = &m
			a.mu.Unlock()
		}
		heard(m)
	})
}

func (a *announcements) own(conn net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conn = conn
	return !a.closed
}

// finish waits for what a guest that has ended said last, for at most limit, and closes.
func (a *announcements) finish(limit time.Duration) {
	_ = a.listener.Close()
	select {
	case <-a.done:
	case <-time.After(limit):
	}
	a.mu.Lock()
	a.closed = true
	if a.conn != nil {
		_ = a.conn.Close()
	}
	a.mu.Unlock()
	<-a.done
}

// failure returns the failure that the agent announced, nil when there was none.
func (a *announcements) failure() *boot.Announcement {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}
