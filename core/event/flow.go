package event

// Flow is a connection, or what stands for one, between a guest and its network. Addresses have the port behind them; those of ICMP
// have none.
type Flow struct {
	Sandbox     string `json:"sandbox"`
	Protocol    string `json:"protocol"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Name        string `json:"name,omitempty"` // that the guest asked for, where it is known
	Rule        string `json:"rule"`           // that decided: a place in a file, such as agent.hcl:12, or a built-in one
}

// Traffic counts what went through a guest's network, from the guest's point of view.
type Traffic struct {
	SentBytes     uint64 `json:"sent_bytes"`
	ReceivedBytes uint64 `json:"received_bytes"`
	Flows         uint64 `json:"flows"`  // that were opened
	Denied        uint64 `json:"denied"` // that were not
}

// Add returns the sum.
func (t Traffic) Add(u Traffic) Traffic {
	return Traffic{t.SentBytes + u.SentBytes, t.ReceivedBytes + u.ReceivedBytes, t.Flows + u.Flows, t.Denied + u.Denied}
}
