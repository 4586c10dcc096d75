package plan

// Network connects a sandbox with what is outside of it, by a plugin.
type Network struct {
	Block
	Egress    *Egress // nil means that no policy is written
	Limits    NetworkLimits
	Services  []Service
	Published []PublishedPort
}

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

// Service is something of the host that the guest may reach at an address of its own network. Exactly one of UnixPath and
// TCPAddress is set.
type Service struct {
	Name       string
	Address    string // that the guest dials, with its port
	UnixPath   string
	TCPAddress string
}

// PublishedPort makes a port of the guest one of the host.
type PublishedPort struct {
	Protocol    string // tcp or udp
	HostAddress string // empty means loopback
	HostPort    int    // 0 means any that is free
	GuestPort   int
}
