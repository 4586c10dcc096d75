package nic

import (
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
)

const (
	etherHeader = header.EthernetMinimumSize
	// maxSegment is the greatest IP packet, hence the greatest segment that is left to the guest to cut.
	maxSegment = 65535
)

// MAC is a hardware address.
type MAC [6]byte

// Responder answers frames of one kind by itself, without the stack.
type Responder interface {
	// Respond returns the frame that answers frame, nil if nothing does. Both begin with an Ethernet header.
	Respond(frame []byte) []byte
}

// Config says what the card is.
type Config struct {
	Loop           *loop.Loop
	Guest, Gateway MAC
	MTU            int
	// Addresses are the guest's own. Packets with another source are dropped.
	Addresses []netip.Addr
	// ARP, NDP and DHCP answer what they are named after; nil drops it.
	ARP, NDP, DHCP Responder
	// Refused is told of each frame that would lead somewhere, or come from somebody, that is not possible here. May be nil.
	Refused func(Refusal)
	// SYN is told of each TCP packet that opens a connection, before the stack sees it. May be nil.
	SYN func(source, destination netip.AddrPort)
	// UDP takes datagrams, with their headers, that are whole and verified; the stack takes the others, or all if it is nil. The slice is
	// only valid during the call.
	UDP func(source, destination netip.AddrPort, datagram []byte)
}

// Tap sees every frame as the guest does. The slice is only valid during the call.
type Tap interface {
	Frame(frame []byte)
}

// Endpoint is the card.
type Endpoint struct {
	cfg        Config
	addresses  map[netip.Addr]bool
	count      counters
	dispatcher stack.NetworkDispatcher
	session    atomic.Pointer[session] // nil while there is no link
	tap        atomic.Pointer[Tap]
	steer      steering
}

var (
	_ stack.LinkEndpoint = (*Endpoint)(nil)
	_ stack.GSOEndpoint  = (*Endpoint)(nil)
)

// New returns a card whose cable is not plugged in.
func New(cfg Config) *Endpoint {
	e := &Endpoint{cfg: cfg, addresses: make(map[netip.Addr]bool)}
	for _, a := range cfg.Addresses {
		e.addresses[a] = true
	}
	return e
}

// SetTap has t see every frame; nil ends that.
func (e *Endpoint) SetTap(t Tap) {
	if t == nil {
		e.tap.Store(nil)
		return
	}
	e.tap.Store(&t)
}

// MTU implements stack.LinkEndpoint.
func (e *Endpoint) MTU() uint32 { return uint32(e.cfg.MTU) }

// SetMTU implements stack.LinkEndpoint; the MTU is settled with the device.
func (e *Endpoint) SetMTU(uint32) {}

// MaxHeaderLength implements stack.LinkEndpoint: the Ethernet header is written into the ring.
func (e *Endpoint) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements stack.LinkEndpoint.
func (e *Endpoint) LinkAddress() tcpip.LinkAddress { return tcpip.LinkAddress(e.cfg.Gateway[:]) }

// SetLinkAddress implements stack.LinkEndpoint.
func (e *Endpoint) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities implements stack.LinkEndpoint: checksums of what comes in are the card's business.
func (e *Endpoint) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

// GSOMaxSize implements stack.GSOEndpoint.
func (e *Endpoint) GSOMaxSize() uint32 { return maxSegment }

// SupportedGSO implements stack.GSOEndpoint. The card cuts for guests that cannot.
func (e *Endpoint) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// Attach implements stack.LinkEndpoint.
func (e *Endpoint) Attach(d stack.NetworkDispatcher) { e.dispatcher = d }

// IsAttached implements stack.LinkEndpoint.
func (e *Endpoint) IsAttached() bool { return e.dispatcher != nil }

// Wait implements stack.LinkEndpoint; Serve waits for its own goroutines.
func (e *Endpoint) Wait() {}

// ARPHardwareType implements stack.LinkEndpoint.
func (e *Endpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// AddHeader implements stack.LinkEndpoint.
func (e *Endpoint) AddHeader(*stack.PacketBuffer) {}

// ParseHeader implements stack.LinkEndpoint.
func (e *Endpoint) ParseHeader(*stack.PacketBuffer) bool { return true }

// Close implements stack.LinkEndpoint.
func (e *Endpoint) Close() {}

// SetOnCloseAction implements stack.LinkEndpoint.
func (e *Endpoint) SetOnCloseAction(func()) {}
