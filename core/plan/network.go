package plan

// Network connects a sandbox with what is outside of it, by a plugin.
type Network struct {
	Block
	Layout    NetworkLayout
	Egress    *Egress // nil means that no policy is written
	Limits    NetworkLimits
	Services  []Service
	Published []PublishedPort
}

// NetworkLayout is who is where in a guest's network. What is empty is as usual: see package policy.
type NetworkLayout struct {
	Subnet              string // IPv4, such as 10.0.2.0/24
	Guest, Gateway, DNS string // addresses in it
	IPv6                string // IPv6Auto, IPv6On or IPv6Off; empty means auto
	Subnet6             string // of 64 bits
	GuestMAC            string
	GatewayMAC          string
	MTU                 int
}

// Values of NetworkLayout.IPv6.
const (
	IPv6Auto = "auto" // where the host has it
	IPv6On   = "true"
	IPv6Off  = "false"
)

// Egress says what a sandbox may reach. What Deny names is denied, of the rest what Allow names is allowed, and nothing else is.
type Egress struct {
	Allow, Deny []EgressRule
}

// EgressRule is one destination as it was written, such as *.pypi.org:443. Package policy reads it.
type EgressRule struct {
	Origin      string // where it was written, such as agent.hcl:12
	Destination string
}

// NetworkLimits bounds a sandbox's network as a whole. Zero means unlimited.
type NetworkLimits struct {
	Connections             int
	NewConnectionsPerSecond int
	BytesPerSecond          uint64
	TotalBytes              uint64
}

// Service is something of the host that the guest may reach at an address of its own network. Exactly one of UnixPath, TCPAddress
// and UDPAddress is set.
type Service struct {
	Name       string
	Address    string // that the guest dials, with its port
	UnixPath   string
	TCPAddress string
	UDPAddress string
}

// PublishedPort makes a port of the guest one of the host.
type PublishedPort struct {
	Protocol    string // tcp or udp
	HostAddress string // empty means loopback
	HostPort    int    // 0 means any that is free
	GuestPort   int
}
