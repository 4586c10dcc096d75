package tcp

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/icmp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/sniff"
)

// dial begins to connect the host's socket, for a guest whose handshake waits for it or has been completed before.
func (fl *flow) dial() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.dialLocked()
}

func (fl *flow) dialLocked() {
	fl.state = dialing
	fd, err := fl.socket()
	if err == nil && fl.reachesHost(fd) {
		_ = unix.Close(fd)
		fl.deny()
		return
	}
	if err == nil {
		if err = fl.watch(fd); err == nil {
			fl.after(dialTime, func() { fl.dialed(unix.ETIMEDOUT) })
			return
		}
	}
	fl.dialed(err)
}

// socket makes the socket that leads where the verdict says.
func (fl *flow) socket() (int, error) {
	s := fl.verdict.Service
	switch {
	case s == nil:
		return hostsock.DialTCP(fl.asked.Destination)
	case s.UnixPath != "":
		return hostsock.DialUnix(s.UnixPath)
	}
	to, err := netip.ParseAddrPort(s.TCPAddress)
	if err != nil {
		return -1, err
	}
	return hostsock.DialTCP(to)
}

// reachesHost tells whether a socket leads to the host itself, at an address that it got since it was last asked for its addresses,
// and no rule allows that.
func (fl *flow) reachesHost(fd int) bool {
	to := fl.asked.Destination.Addr()
	if fl.verdict.Service != nil || !hostsock.ToItself(fd, to) {
		return false
	}
	fl.f.cfg.Policy.NoteHost(to)
	v := fl.f.cfg.Policy.Recheck(fl.asked, fl.verdict)
	if v.Allow {
		return false
	}
	fl.verdict = v
	return true
}

// dialed goes on after the attempt to connect has ended.
func (fl *flow) dialed(err error) {
	if err == nil {
		if fl.ep != nil {
			fl.established()
			return
		}
		fl.shake()
		return
	}
	switch {
	case hostsock.Exhausted(err):
		fl.f.count.exhausted.Add(1)
	case errors.Is(err, unix.ECONNREFUSED):
		fl.f.count.refused.Add(1)
	default:
		fl.f.count.unreachable.Add(1)
	}
	fl.fail(err)
}

// fail ends a flow whose socket could not be connected, so that the guest learns what its own kernel would have learnt: a refusal is a
// reset, no way there an ICMP message, and no answer is no answer. A guest that has been answered already gets a reset.
func (fl *flow) fail(err error) {
	silent := false
	if fl.ep == nil {
		switch {
		case errors.Is(err, unix.ETIMEDOUT):
			silent = true
		case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
			silent = true
			fl.f.cfg.ICMP.Error(icmp.NoHost, icmp.Quote{
				Protocol: tcp.ProtocolNumber, Source: fl.asked.Source, Destination: fl.asked.Destination, Length: header.TCPMinimumSize,
			})
		}
	}
	fl.finish(!silent)
}

// shake completes the guest's handshake in a goroutine, which the guest can keep waiting.
func (fl *flow) shake() {
	fl.state = shaking
	fl.stopTimer()
	request := fl.request
	goes := fl.f.crew.goes(func() {
		ep, err := fl.f.handshake(request, &fl.wq)
		fl.mu.Lock()
		defer fl.mu.Unlock()
		fl.request = nil
		request.Complete(err != nil)
		fl.endOpening()
		switch {
		case err != nil:
			fl.finish(true)
		case fl.state == ended:
			ep.Abort()
		default:
			fl.adopt(ep)
			fl.shaken()
		}
	})
	if !goes {
		fl.state = dialing
		fl.finish(true)
	}
}

// shaken goes on with a guest that is connected.
func (fl *flow) shaken() {
	if fl.verdict.Allow {
		fl.established()
		return
	}
	fl.state = naming
	fl.after(nameTime, fl.deny)
	fl.post()
}

// awaitName completes the handshake so that the guest says whom it means.
func (fl *flow) awaitName() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.shake()
}

// lookForName reads what has come so far, which stays in the receive queue.
func (fl *flow) lookForName() {
	var first peeked
	_, err := fl.ep.Read(&first, tcpip.ReadOptions{Peek: true})
	switch err.(type) {
	case nil:
	case *tcpip.ErrWouldBlock:
		return
	default:
		fl.deny()
		return
	}
	said, done := sniff.First(first.bytes)
	if !done && len(first.bytes) < sniff.MaxBytes {
		return
	}
	fl.verdict = fl.f.cfg.Policy.DecideNamed(fl.asked, said)
	if !fl.verdict.Allow {
		fl.deny()
		return
	}
	fl.writer.guard = fl.verdict.Guard
	fl.dialLocked()
}

func (fl *flow) deny() {
	fl.f.count.denied.Add(1)
	fl.f.cfg.Log.Denied(fl.asked, fl.verdict)
	fl.finish(true)
}

// peeked collects the first bytes of a stream.
type peeked struct{ bytes []byte }

func (p *peeked) Write(b []byte) (int, error) {
	n := min(len(b), sniff.MaxBytes-len(p.bytes))
	p.bytes = append(p.bytes, b[:n]...)
	if n < len(b) {
		return n, errEnough
	}
	return n, nil
}

var errEnough = errors.New("enough")
