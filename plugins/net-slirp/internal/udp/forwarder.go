package udp

import (
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/flowlog"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/icmp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
)

// Bounds.
const (
	maxFlows    = 4096
	maxDatagram = 65507
	askedTime   = 30 * time.Second // of a flow that nobody has answered
	talkTime    = 2 * time.Minute  // of one that somebody has
	sweepTime   = 5 * time.Second
)

// Serve handles a datagram for an address that this process serves itself. The bytes are the callee's; reply may be called later,
// and from any goroutine.
type Serve func(from netip.AddrPort, datagram []byte, reply func([]byte))

// Config is what a forwarder needs.
type Config struct {
	Stack  *stack.Stack
	NIC    tcpip.NICID
	MTU    int
	Loop   *loop.Loop
	Policy *policy.Evaluator
	Log    *flowlog.Log
	ICMP   *icmp.Sender
	Local  map[netip.AddrPort]Serve
	// Gateway are the addresses from which published ports reach the guest; Guest are the guest's.
	Gateway, Guest []netip.Addr
	// Now is the clock by which flows are idle; nil means time.Now.
	Now func() time.Time
}

// Forwarder forwards UDP.
type Forwarder struct {
	cfg     Config
	count   counters
	scratch []byte // of the loop's goroutine, which calls Ready

	mu        sync.Mutex
	closed    bool
	flows     map[pair]*flow
	published map[uint16]*listener
	sweep     *time.Timer
}

// pair names a flow by the guest's side and the other one as the guest sees it.
type pair struct{ guest, peer netip.AddrPort }

// New makes a forwarder and has the stack use it.
func New(cfg Config) *Forwarder {
	f := &Forwarder{
		cfg: cfg, flows: make(map[pair]*flow), published: make(map[uint16]*listener), scratch: make([]byte, 65536),
	}
	if cfg.Now == nil {
		f.cfg.Now = time.Now
	}
	f.sweep = time.AfterFunc(sweepTime, f.Sweep)
	cfg.Stack.SetTransportProtocolHandler(udp.ProtocolNumber, f.handle)
	return f
}

// Take takes a datagram of the guest's as the card has it, which has looked at its checksum.
func (f *Forwarder) Take(guest, peer netip.AddrPort, datagram []byte) {
	n := int(header.UDP(datagram).Length())
	if n < header.UDPMinimumSize || n > len(datagram) {
		f.count.malformed.Add(1)
		return
	}
	f.pass(pair{guest: guest, peer: peer}, datagram[header.UDPMinimumSize:n])
}

// handle takes a datagram of the guest's that came in fragments or with options. True keeps netstack from answering.
func (f *Forwarder) handle(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	p := pair{
		guest: netip.AddrPortFrom(fromStack(id.RemoteAddress), id.RemotePort), peer: netip.AddrPortFrom(fromStack(id.LocalAddress), id.LocalPort),
	}
	payload, release, ok := f.payload(&p, pkt)
	if !ok {
		f.count.malformed.Add(1)
		return true
	}
	defer release()
	f.pass(p, payload)
	return true
}

// pass hands a datagram to whom it is for.
func (f *Forwarder) pass(p pair, payload []byte) {
	if serve := f.cfg.Local[p.peer]; serve != nil {
		serve(p.guest, append([]byte(nil), payload...), func(b []byte) { f.toGuest(p, b) })
		return
	}
	f.send(p, payload)
}

// payload returns the bytes of a datagram in one piece, which release gives back. A datagram that came in fragments has its checksum
// verified here, since the card could not.
func (f *Forwarder) payload(p *pair, pkt *stack.PacketBuffer) (b []byte, release func(), ok bool) {
	h := header.UDP(pkt.TransportHeader().Slice())
	n := int(h.Length()) - header.UDPMinimumSize
	if n < 0 || n > pkt.Data().Size() {
		return nil, nil, false
	}
	if pkt.Size() > f.cfg.MTU && !intact(p, h, pkt) {
		return nil, nil, false
	}
	views, offset := pkt.AsViewList()
	if v := views.Front(); v.Next() == nil {
		return v.AsSlice()[offset+pkt.HeaderSize():][:n], func() {}, true
	}
	v := pkt.Data().AsRange().ToView()
	return v.AsSlice()[:n], v.Release, true
}

// intact verifies a checksum, which IPv4 may lack (RFC 768).
func intact(p *pair, h header.UDP, pkt *stack.PacketBuffer) bool {
	if h.Checksum() == 0 && p.guest.Addr().Is4() {
		return true
	}
	sum := header.PseudoHeaderChecksum(udp.ProtocolNumber, toStack(p.guest.Addr()), toStack(p.peer.Addr()), h.Length())
	return checksum.Checksum(h, checksum.Combine(sum, pkt.Data().Checksum())) == 0xffff
}

// send finds or opens the flow of a datagram and sends it.
func (f *Forwarder) send(p pair, payload []byte) {
	f.mu.Lock()
	fl := f.flows[p]
	if fl == nil {
		fl = f.open(p, len(payload))
	}
	f.mu.Unlock()
	if fl != nil {
		fl.send(payload)
	}
}

// toGuest sends a datagram from a peer to the guest.
func (f *Forwarder) toGuest(p pair, payload []byte) {
	route, err := f.route(p)
	if err != nil {
		return
	}
	defer route.Release()
	f.write(route, p, payload)
}

func (f *Forwarder) route(p pair) (*stack.Route, tcpip.Error) {
	proto := header.IPv4ProtocolNumber
	if p.guest.Addr().Is6() {
		proto = header.IPv6ProtocolNumber
	}
	return f.cfg.Stack.FindRoute(f.cfg.NIC, toStack(p.peer.Addr()), toStack(p.guest.Addr()), proto, false)
}

// write makes a packet; netstack cuts it if it is larger than the MTU.
func (f *Forwarder) write(route *stack.Route, p pair, payload []byte) {
	if len(payload) > maxDatagram {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: header.UDPMinimumSize + int(route.MaxHeaderLength()), Payload: buffer.MakeWithData(payload),
	})
	defer pkt.DecRef()
	pkt.TransportProtocolNumber = udp.ProtocolNumber
	h := header.UDP(pkt.TransportHeader().Push(header.UDPMinimumSize))
	length := uint16(header.UDPMinimumSize + len(payload))
	h.Encode(&header.UDPFields{SrcPort: p.peer.Port(), DstPort: p.guest.Port(), Length: length})
	sum := ^h.CalculateChecksum(checksum.Combine(route.PseudoHeaderChecksum(udp.ProtocolNumber, length), checksum.Checksum(payload, 0)))
	if sum == 0 {
		sum = 0xffff // zero says that there is none (RFC 768)
	}
	h.SetChecksum(sum)
	_ = route.WritePacket(stack.NetworkHeaderParams{Protocol: udp.ProtocolNumber, TTL: 64}, pkt)
}

func fromStack(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

func toStack(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }
