package control

import "time"

// Info says what a run is.
type Info struct {
	Run      string    `json:"run"`
	Plan     string    `json:"plan"`
	Target   string    `json:"target"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Networks []Network `json:"networks"`
}

// Network is the network of one guest that lives.
type Network struct {
	Stage     string   `json:"stage"`
	Sandbox   string   `json:"sandbox"`
	Published []string `json:"published,omitempty"` // such as tcp 127.0.0.1:8080 -> 80
}

// Flow asks about a flow. An empty stage stands for all of them.
type Flow struct {
	Stage    string
	Protocol string // tcp, udp or icmp
	Host     string // name or address
	Port     uint16
}

// Verdict is what a network would do with a flow.
type Verdict struct {
	Stage   string `json:"stage"`
	Sandbox string `json:"sandbox"`
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule"`
	Reason  string `json:"reason,omitempty"`
}

// Publish asks for a port of a guest on the host. The stage may be empty where only one has a network.
type Publish struct {
	Stage       string `json:"stage,omitempty"`
	Protocol    string `json:"protocol"`               // tcp or udp
	HostAddress string `json:"host_address,omitempty"` // empty means loopback
	HostPort    uint16 `json:"host_port,omitempty"`    // 0 means any that is free
	GuestPort   uint16 `json:"guest_port"`
}

// Published says where a port is.
type Published struct {
	Stage   string `json:"stage"`
	Address string `json:"address"`
}

// Unpublish names a published port by its guest's side.
type Unpublish struct {
	Stage     string `json:"stage,omitempty"`
	Protocol  string `json:"protocol"`
	GuestPort uint16 `json:"guest_port"`
}
