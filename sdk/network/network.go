// Package network is the contract of a guest's network. A process holds one attachment, so that an escape from its network
// stack finds no other guest.
//
// The core compiles policy into rules and hands them over; the plugin evaluates them, so that no flow waits for a call. Frames
// never travel here: Attach says where the VMM fetches the link, a pair of rings in shared memory.
package network

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"
)

// Capabilities that a network may lack.
const (
	CapPublish = "publish" // ports of the guest on the host
	CapPcap    = "pcap"    // packet capture
	CapPolicy  = "policy"  // decisions about flows: rules, limits, services. Without it, what the guest may reach is the host's to say
)

// DefaultCaptureBytes ends a capture that names no limit of its own.
const DefaultCaptureBytes = 64 << 20

// Network connects one guest.
type Network interface {
	// Attach makes the network's end of a link. It fails rather than start with a policy that it cannot enforce; a second
	// attachment is errdef.ErrState.
	Attach(ctx context.Context, a Attachment) (Attached, error)
	// UpdatePolicy replaces the policy and returns how many flows were reset because the new one forbids them.
	UpdatePolicy(ctx context.Context, p Policy) (reset int, err error)
	// Publish forwards a port of the host to the guest and returns the host's address. Capability CapPublish.
	Publish(ctx context.Context, p PublishedPort) (netip.AddrPort, error)
	// Unpublish undoes Publish. A port that is not published is errdef.ErrNotFound.
	Unpublish(ctx context.Context, proto Protocol, guestPort uint16) error
	// Explain says what would happen to a flow, and by which rule. It opens nothing.
	Explain(ctx context.Context, f Flow) (Verdict, error)
	// Watch calls fn with Watching, and then with every event from there on, until ctx ends, fn fails or the network ends. A slow fn
	// loses events, and learns how many.
	Watch(ctx context.Context, fn func(Event) error) error
	// Stats reads counters by dotted name, such as tcp.opened.
	Stats(ctx context.Context) (map[string]uint64, error)
	// Capture writes a pcap file of what the guest sends and receives, until ctx ends or the limit is reached. Capability CapPcap.
	Capture(ctx context.Context, c Capture, w io.Writer) error
}

// Attachment describes the guest's side of the link and what it may do.
type Attachment struct {
	GuestMAC   net.HardwareAddr // six bytes
	GatewayMAC net.HardwareAddr // six bytes
	Guest      []netip.Prefix   // addresses with prefix length, such as 10.0.2.15/24
	Gateway    []netip.Prefix
	DNS        []netip.Addr
	MTU        int
	QueuePairs int // 0 means 1
	Policy     Policy
	Published  []PublishedPort
	Services   []Service
}

// Attached says where the link is.
type Attached struct {
	SocketPath   string // where the VMM's device fetches the link
	Capabilities []string
	Published    []netip.AddrPort // of the host, one for each of Attachment.Published
}

// Policy is egress policy, compiled: the first rule that matches decides.
type Policy struct {
	Rules   []Rule
	Default Action
	// RestrictNames says that rules name domains: a name must be learned from the attachment's own DNS and proven by SNI or Host.
	RestrictNames bool
	Limits        Limits
}

// Limits of the attachment as a whole; 0 means unlimited.
type Limits struct {
	Connections             int
	NewConnectionsPerSecond int
	BytesPerSecond          uint64
	TotalBytes              uint64
}

// Action is what happens to a flow. The zero value denies.
type Action int

// Actions.
const (
	Deny Action = iota
	Allow
)

// Protocol is tcp, udp or icmp.
type Protocol string

// Protocols.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp"
)

// Rule matches flows by destination. Exactly one of CIDR, Domain and Any is set.
type Rule struct {
	Origin    string // where it was written, such as agent.hcl:12, or the name of a built-in rule
	Action    Action
	CIDR      netip.Prefix
	Domain    string // host name, or *.name for the names below it
	Any       bool
	Ports     []PortRange // empty means every port
	Protocols []Protocol  // empty means every one
}

// PortRange is inclusive at both ends.
type PortRange struct{ First, Last uint16 }

// PublishedPort forwards from the host to the guest.
type PublishedPort struct {
	Protocol  Protocol   // TCP or UDP
	Host      netip.Addr // the zero Addr means loopback
	HostPort  uint16     // 0 means any free port
	GuestPort uint16
}

// Service is something of the host that the guest may reach: the only way to the host's loopback. Exactly one of UnixPath,
// TCPAddress and UDPAddress is set.
type Service struct {
	Name       string
	Guest      netip.AddrPort // what the guest dials
	UnixPath   string
	TCPAddress string // host:port
	UDPAddress string // host:port; the others are streams
}

// Flow names a flow to explain.
type Flow struct {
	Protocol Protocol
	Host     string // name or address
	Port     uint16
}

// Verdict is what would happen to a flow.
type Verdict struct {
	Action Action
	Rule   string // origin of the rule that decides
	Reason string
}

// EventKind is the kind of an event.
type EventKind string

// Kinds of event.
const (
	Opened EventKind = "opened"
	Closed EventKind = "closed"
	Denied EventKind = "denied"
	Lost   EventKind = "lost" // events were dropped; Sent counts them

	// Watching is the first event: whatever happens from now on is told. It has nothing but its time.
	Watching EventKind = "watching"
)

// Event is something that happened to a flow.
type Event struct {
	Kind        EventKind
	Time        time.Time
	Protocol    Protocol // or, of what is none of these and denied, ip-proto-47 or ether-0x8100
	Source      string
	Destination string
	Name        string // that the guest asked for, where it is known
	Rule        string // origin of the rule that decided
	Sent        uint64 // bytes from the guest
	Received    uint64 // bytes to the guest
	Duration    time.Duration
}

// Capture bounds a packet capture.
type Capture struct {
	SnapLength int    // bytes kept of each frame; 0 means all
	MaxBytes   uint64 // 0 means DefaultCaptureBytes
}
