//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/benchtable"
)

// wakeUps compares the two ways to sleep on an eventfd: through the runtime's poller, as link does, and in a blocking read
// on a thread of its own.
func wakeUps(ctx context.Context, rounds int) (benchtable.Row, error) {
	poller, err := newEventSide(ctx, "poller", pollerEvents)
	if err != nil {
		return benchtable.Row{}, err
	}
	defer poller.close()
	thread, err := newEventSide(ctx, "thread", threadEvents)
	if err != nil {
		return benchtable.Row{}, err
	}
	defer thread.close()
	var s series
	b := []byte{0}
	for range rounds {
		err := firstError(
			func() error { return s.add(0, func() (float64, error) { return latency(poller, b, asleep) }) },
			func() error { return s.add(1, func() (float64, error) { return latency(thread, b, asleep) }) },
			ctx.Err,
		)
		if err != nil {
			return benchtable.Row{}, err
		}
	}
	return benchtable.Compare("link: eventfd through the poller, other end asleep, p50", "us", "own thread", s[0], s[1]), nil
}

// events are a pair of eventfds: one to wait for, one to signal.
type events struct {
	wait, signal *os.File
	read         func([]byte) (int, error)
}

// pollerEvents parks a goroutine.
func pollerEvents(wait, signal int) *events {
	_ = unix.SetNonblock(wait, true)
	e := &events{wait: os.NewFile(uintptr(wait), "wait"), signal: os.NewFile(uintptr(signal), "signal")}
	e.read = e.wait.Read
	return e
}

// threadEvents blocks the goroutine's thread.
func threadEvents(wait, signal int) *events {
	_ = unix.SetNonblock(wait, false)
	e := &events{wait: os.NewFile(uintptr(wait), "wait"), signal: os.NewFile(uintptr(signal), "signal")}
	e.read = func(b []byte) (int, error) { return unix.Read(wait, b) }
	return e
}

func (e *events) kick(n uint64) error {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], n)
	_, err := e.signal.Write(b[:])
	return err
}

func (e *events) sleep() (uint64, error) {
	var b [8]byte
	_, err := e.read(b[:])
	return binary.NativeEndian.Uint64(b[:]), err
}

// quit is the count by which the other process is told to end.
const quit = 1 << 20

type eventSide struct {
	events *events
	peer   *process
}

func newEventSide(ctx context.Context, kind string, open func(wait, signal int) *events) (*eventSide, error) {
	var fds [2]int
	var files [2]*os.File
	for i := range fds {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			return nil, err
		}
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		fds[i], files[i] = fd, os.NewFile(uintptr(dup), "event")
		defer files[i].Close()
	}
	p, err := start(ctx, kind, files[1], files[0])
	if err != nil {
		return nil, err
	}
	return &eventSide{events: open(fds[0], fds[1]), peer: p}, nil
}

func (s *eventSide) send([]byte, int) error { return nil }

func (s *eventSide) echo([]byte) error {
	if err := s.events.kick(1); err != nil {
		return err
	}
	_, err := s.events.sleep()
	return err
}

func (s *eventSide) close() {
	_ = s.events.kick(quit)
	s.peer.stop()
	_, _ = s.events.wait.Close(), s.events.signal.Close()
}

func serveEvents(open func(wait, signal int) *events) error {
	e := open(firstFile, firstFile+1)
	for {
		n, err := e.sleep()
		if err != nil || n >= quit {
			return err
		}
		if err := e.kick(1); err != nil {
			return err
		}
	}
}
