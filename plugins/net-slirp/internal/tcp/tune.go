package tcp

import (
	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
)

// Buffers of a connection. The wire is memory: 1 MiB is a millisecond of it.
const (
	maxBuffer  = 1 << 20
	minBuffer  = 32 << 10
	allBuffers = 256 << 20
)

// share returns the buffer of one more connection, so that all together stay bounded.
func (f *Forwarder) share() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(minBuffer, min(maxBuffer, allBuffers/max(1, len(f.live))))
}

// tune sets up a connection with the guest. Delays for the sake of fewer packets were the business of those who sent the bytes.
func tune(ep tcpip.Endpoint, buffer int) {
	o := ep.SocketOptions()
	o.SetDelayOption(false)
	o.SetQuickAck(false)
	if buffer < maxBuffer {
		o.SetSendBufferSize(int64(buffer), true)
		o.SetReceiveBufferSize(int64(buffer), true)
	}
	o.SetKeepAlive(true)
	idle, interval := tcpip.KeepaliveIdleOption(hostsock.KeepAliveIdle), tcpip.KeepaliveIntervalOption(hostsock.KeepAliveInterval)
	_ = ep.SetSockOpt(&idle)
	_ = ep.SetSockOpt(&interval)
	_ = ep.SetSockOptInt(tcpip.KeepaliveCountOption, hostsock.KeepAliveCount)
}
