package tcp

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/sniff"
)

// A flow moves so many bytes each way before others have their turn.
const turn = 256 << 10

// move moves bytes both ways as far as that goes now.
func (fl *flow) move() {
	if !fl.up() || !fl.down() {
		fl.finish(true)
		return
	}
	if fl.upEnded && fl.downEnded {
		fl.finish(false)
	}
}

// up moves what the guest sent to the host. False means that the connection has failed.
func (fl *flow) up() bool {
	for !fl.upEnded && fl.ready&(guestIn|hostOut) == guestIn|hostOut {
		budget, ok := fl.take(turn)
		if budget == 0 {
			return ok
		}
		w := &fl.writer
		w.budget, w.blocked, w.err = budget, false, nil
		res, err := fl.ep.Read(w, tcpip.ReadOptions{})
		fl.f.cfg.Policy.Settle(budget, res.Count)
		fl.sent += uint64(res.Count)
		fl.f.count.sent.Add(uint64(res.Count))
		if w.err != nil {
			fl.suspect(w.err)
			return false
		}
		if w.blocked {
			fl.ready &^= hostOut
		}
		switch err.(type) {
		case nil, *tcpip.ErrBadBuffer: // the latter when the host took nothing
		case *tcpip.ErrWouldBlock:
			fl.ready &^= guestIn
		case *tcpip.ErrClosedForReceive:
			fl.upEnded = true
			if errno := unix.Shutdown(fl.fd, unix.SHUT_WR); errno != nil && !errors.Is(errno, unix.ENOTCONN) {
				return false
			}
		default:
			return false
		}
		if w.budget == 0 {
			fl.post()
			return true
		}
	}
	return true
}

// hostWriter writes netstack's memory to the host's socket.
type hostWriter struct {
	fd      int
	budget  int
	blocked bool // the host takes no more now
	err     error

	guard   *sniff.Guard // sees all bytes before they go, if there is one
	guarded int          // bytes that it has seen and the host has not taken yet
}

var (
	errPause = errors.New("later")
	errGuard = errors.New("the stream names another server")
)

// Write implements io.Writer. A short write pauses the read that it is part of.
func (w *hostWriter) Write(b []byte) (int, error) {
	if w.budget == 0 {
		return 0, errPause
	}
	most := b[:min(len(b), w.budget)]
	if !w.pass(most) {
		w.err = errGuard
		return 0, errPause
	}
	n, err := hostsock.Write(w.fd, most)
	switch {
	case err == nil:
		w.budget -= n
		w.guarded = max(0, w.guarded-n)
	case errors.Is(err, unix.EAGAIN):
		n, w.blocked = 0, true
	case errors.Is(err, unix.EINTR):
		n = 0
	default:
		n, w.err = 0, err
	}
	if n < len(b) {
		return n, errPause
	}
	return n, nil
}

// pass shows the guard what it has not seen yet, and tells whether it may go.
func (w *hostWriter) pass(b []byte) bool {
	if w.guard == nil || w.guarded >= len(b) {
		return true
	}
	unseen := b[w.guarded:]
	w.guarded = len(b)
	return w.guard.Check(unseen) == nil
}

// suspect tells of a flow that its guard ended.
func (fl *flow) suspect(err error) {
	if errors.Is(err, errGuard) {
		fl.f.count.denied.Add(1)
		fl.f.cfg.Log.Denied(fl.asked, policy.Verdict{Rule: policy.RuleName, Name: fl.verdict.Name, Reason: err.Error()})
	}
}

// down moves what the host sent to the guest. False means that the connection has failed.
func (fl *flow) down() bool {
	moved := 0
	for !fl.downEnded && fl.ready&(hostIn|guestOut) == hostIn|guestOut {
		budget, ok := fl.take(turn - moved)
		if budget == 0 {
			return ok
		}
		r := &fl.reader
		r.limit, r.available, r.err = budget, 0, nil
		n, err := fl.ep.Write(r, tcpip.WriteOptions{})
		fl.f.cfg.Policy.Settle(budget, int(n))
		fl.received += uint64(n)
		fl.f.count.received.Add(uint64(n))
		moved += int(n)
		switch err.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			fl.ready &^= guestOut
			continue
		default: // of the guest's side, or r.err
			return false
		}
		if int(n) >= r.available && fl.ready&hostHup == 0 {
			fl.ready &^= hostIn // what came since has brought another event
		}
		if r.available == 0 && fl.ready&hostHup != 0 && !fl.hostEnd() {
			return false
		}
		if moved >= turn {
			fl.post()
			return true
		}
	}
	return true
}

// hostEnd looks for the end of what the host sends, once all of it has been read. False means a reset.
func (fl *flow) hostEnd() bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(fl.fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EAGAIN):
		fl.ready &^= hostIn | hostHup
	case errors.Is(err, unix.EINTR) || n > 0:
	case err != nil:
		return false
	default:
		fl.downEnded = true
		return fl.ep.Shutdown(tcpip.ShutdownWrite) == nil
	}
	return true
}

// hostReader reads from the host's socket into netstack's memory. Netstack asks Len when it knows that it has room, and then reads so
// much, which is there because nobody else reads.
type hostReader struct {
	fd        int
	limit     int
	available int
	err       error
}

// Len implements tcpip.Payloader.
func (r *hostReader) Len() int {
	r.available, r.err = hostsock.Queued(r.fd)
	return min(r.available, r.limit)
}

// Read implements io.Reader.
func (r *hostReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, err := hostsock.Read(r.fd, b)
		switch {
		case err == nil && n > 0:
			return n, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil:
			err = io.ErrUnexpectedEOF
		}
		r.err = err
		return 0, err
	}
}

// take asks the policy for up to n bytes to move now. If there are none, the flow is run again when there may be some; if there never
// will be, ok is false.
func (fl *flow) take(n int) (granted int, ok bool) {
	granted, wait := fl.f.cfg.Policy.Take(n)
	switch {
	case granted == policy.Exhausted:
		fl.f.count.denied.Add(1)
		fl.f.cfg.Log.Denied(fl.asked, policy.Verdict{Rule: policy.RuleTotal, Name: fl.verdict.Name})
		return 0, false
	case granted == 0:
		fl.after(wait, fl.post)
	}
	return granted, true
}
