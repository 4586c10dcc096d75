//go:build linux

package tap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/link"
)

// ErrGone says that the device was deleted while its queue was open.
var ErrGone = errors.New("the TAP device was deleted")

// Outlet is a lane's writer, which several queues may use.
type Outlet struct {
	mu  sync.Mutex
	out *link.Writer
}

// NewOutlet makes one of a writer that nobody else uses.
func NewOutlet(out *link.Writer) *Outlet { return &Outlet{out: out} }

// Receiver moves frames from a queue to a link. Frames are read into the ring, where they stay; while there is no room, they wait in
// the queue.
type Receiver struct {
	Queue *Queue
	// To returns where the next frame goes.
	To func() *Outlet
	// Keep tells whether a frame is to go there at all. Nil keeps all.
	Keep func(h link.NetHeader, length int) bool

	header [link.NetHeaderSize]byte
	err    error
}

// Run moves frames until ctx ends or either side fails.
func (r *Receiver) Run(ctx context.Context) error {
	defer r.Queue.InterruptedBy(ctx)()
	for {
		o := r.To()
		if err := r.Queue.wait(func(fd uintptr) bool { return r.take(fd, o) }); err != nil {
			return err
		}
		if errors.Is(r.err, link.ErrFull) {
			r.err = o.wait(ctx)
		}
		if r.err != nil {
			return r.err
		}
	}
}

// take moves one frame, and returns false when there is none.
func (r *Receiver) take(fd uintptr, o *Outlet) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	frame, err := o.out.TryReserve(link.KindFrame, MaxFrame)
	if r.err = err; err != nil {
		return true
	}
	n, errno := transfer(unix.SYS_READV, fd, r.header[:], frame)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return false
	}
	if r.err = readError(n, errno); r.err != nil {
		return true
	}
	h := link.ParseNetHeader(r.header)
	if n -= len(r.header); r.Keep != nil && !r.Keep(h, n) {
		return true
	}
	o.out.CommitFrame(h, n)
	r.err = o.out.Publish()
	return true
}

// wait waits for room. Meanwhile nobody else has anything to write.
func (o *Outlet) wait(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out.Wait(ctx, link.KindFrame, MaxFrame)
}

// InterruptedBy has the end of ctx interrupt whoever reads, until the returned function is called.
func (q *Queue) InterruptedBy(ctx context.Context) (stop func()) {
	forget := context.AfterFunc(ctx, func() { _ = q.file.SetReadDeadline(time.Unix(1, 0)) })
	return func() {
		if !forget() {
			_ = q.file.SetReadDeadline(time.Time{})
		}
	}
}

// Read waits for a frame and returns its header and length.
func (q *Queue) Read(frame []byte) (link.NetHeader, int, error) {
	var header [link.NetHeaderSize]byte
	var n int
	var errno unix.Errno
	err := q.wait(func(fd uintptr) bool {
		n, errno = transfer(unix.SYS_READV, fd, header[:], frame)
		return errno != unix.EAGAIN && errno != unix.EINTR
	})
	if err == nil {
		err = readError(n, errno)
	}
	if err != nil {
		return link.NetHeader{}, 0, err
	}
	return link.ParseNetHeader(header), n - len(header), nil
}

// wait calls take when there may be a frame, until it returns true.
func (q *Queue) wait(take func(fd uintptr) bool) error {
	err := q.raw.Read(take)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
		return err
	case q.gone(): // a file in error is one that the runtime's poller refuses to wait for
		return ErrGone
	}
	return fmt.Errorf("wait for the tap: %w", err)
}

func (q *Queue) gone() bool {
	return q.control("look", func(fd int) error {
		request, err := unix.NewIfreq("")
		if err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, unix.TUNGETIFF, request)
	}) != nil
}

func readError(n int, errno unix.Errno) error {
	switch {
	case errno == unix.EBADFD:
		return ErrGone
	case errno != 0:
		return fmt.Errorf("read from the tap: %w", errno)
	case n < link.NetHeaderSize:
		return io.ErrUnexpectedEOF
	}
	return nil
}

// Write gives a frame to the kernel. One that it does not take is lost, as on any wire, and taken is false; an error is the queue's
// end.
func (q *Queue) Write(h link.NetHeader, frame []byte) (taken bool, err error) {
	header := h.Bytes()
	var errno unix.Errno
	err = q.raw.Control(func(fd uintptr) {
		_, errno = transfer(unix.SYS_WRITEV, fd, header[:], frame)
	})
	if err == nil && errno == unix.EBADFD {
		err = ErrGone
	}
	return err == nil && errno == 0, err
}
