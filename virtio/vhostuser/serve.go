//go:build linux

package vhostuser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/voidbox-run/voidbox/virtio"
)

// Serve lets the front end at the other end of conn drive dev until it hangs up (nil), breaks the protocol
// (an error) or ctx ends (ctx's error). It takes over conn. When it returns, dev has been reset, its
// goroutines no longer touch guest memory, and no guest memory is mapped; dev may be served again.
func Serve(ctx context.Context, conn *net.UnixConn, dev virtio.Device) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	s := newSession(conn, dev)
	defer s.close()
	for {
		err := s.serveOne()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("vhost-user: %w", err)
		}
	}
}

// session is one front end's use of one device.
type session struct {
	conn *net.UnixConn
	dev  virtio.Device
	log  *slog.Logger

	acked    uint64 // features
	protocol uint64 // protocol features
	memory   *memoryTable
	rings    []ring
}

func newSession(conn *net.UnixConn, dev virtio.Device) *session {
	return &session{
		conn:  conn,
		dev:   dev,
		log:   slog.Default().With("virtio_device", dev.DeviceID()),
		rings: make([]ring, len(dev.QueueSizes())),
	}
}

func (s *session) close() {
	s.dev.Reset()
	for i := range s.rings {
		s.rings[i].close()
	}
	s.memory.unmap()
}

// serveOne answers one message. A message that is wrong ends the session, unless the front end asked to be
// told.
func (s *session) serveOne() error {
	m, err := readMessage(s.conn)
	defer m.close()
	if err != nil {
		return err
	}
	reply, err := s.handle(m)
	if reply != nil {
		return writeReply(s.conn, m.request, reply)
	}
	if !m.needReply || s.protocol&protocolReplyAck == 0 {
		return err
	}
	if err != nil {
		s.log.Warn("vhost-user message refused", "message", m.request.String(), "error", err)
	}
	return writeReply(s.conn, m.request, ack(err))
}

// handle carries out m. It returns a reply for those messages that always have one.
func (s *session) handle(m *message) ([]byte, error) {
	h, ok := handlers[m.request]
	if !ok {
		return nil, fmt.Errorf("%v is not supported", m.request)
	}
	if h.size != anySize && len(m.payload) != h.size {
		return nil, fmt.Errorf("%v: payload of %d bytes, want %d", m.request, len(m.payload), h.size)
	}
	reply, err := h.do(s, m)
	if err == nil {
		err = s.reconcile()
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", m.request, err)
	}
	return reply, nil
}

// reconcile makes the device run exactly the rings that are ready.
func (s *session) reconcile() error {
	differ := false
	for i := range s.rings {
		differ = differ || (s.rings[i].queue != nil) != s.runnable(&s.rings[i])
	}
	if !differ {
		return nil
	}
	s.stop()
	return s.start()
}

func (s *session) runnable(r *ring) bool { return s.memory != nil && r.ready() }

// stop takes all rings back from the device.
func (s *session) stop() {
	s.dev.Stop()
	for i := range s.rings {
		r := &s.rings[i]
		if r.queue != nil {
			r.base, r.queue = r.queue.Base(), nil
		}
	}
}

// start gives the device all rings that are ready, if any. A ring that cannot be started is stopped, so
// that the next message does not try again.
func (s *session) start() error {
	queues := make([]*virtio.Queue, len(s.rings))
	any := false
	var errs error
	for i := range s.rings {
		r := &s.rings[i]
		if !s.runnable(r) {
			continue
		}
		if err := s.open(r); err != nil {
			r.setKick(nil)
			errs = errors.Join(errs, fmt.Errorf("queue %d: %w", i, err))
			continue
		}
		queues[i], r.ran, any = r.queue, true, true
	}
	if !any {
		return errs
	}
	err := s.dev.Activate(virtio.Activation{
		Features: s.acked,
		Memory:   s.memory.memory,
		Queues:   queues,
		Broken:   s.broken,
	})
	return errors.Join(errs, err)
}

func (s *session) open(r *ring) error {
	if s.acked&virtio.FeatureVersion1 == 0 {
		return errors.New("the driver did not accept VIRTIO_F_VERSION_1")
	}
	return r.open(s.memory, s.acked)
}

// broken is called by the device's goroutines.
func (s *session) broken(queue int, err error) {
	s.log.Error("guest broke a virtqueue", "queue", queue, "error", err)
	_ = s.rings[queue].err.Signal()
}

// resetDevice stops all rings and forgets the driver.
func (s *session) resetDevice() {
	s.dev.Reset()
	for i := range s.rings {
		r := &s.rings[i]
		r.setKick(nil)
		r.queue, r.base, r.ran = nil, 0, false
	}
}
