package policy

import (
	"net/netip"
	"time"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/sniff"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Flow is what a guest asks for.
type Flow struct {
	Protocol            network.Protocol
	Source, Destination netip.AddrPort // of ICMP, the ports are 0
}

// Verdict is what happens to a flow.
type Verdict struct {
	Allow  bool
	Rule   string // origin of the rule that decided
	Reason string
	// NeedsName says that the first bytes decide: read them, then ask DecideNamed. Until then the flow counts as denied by Rule.
	NeedsName bool
	// Service is where the flow leads, if not to its destination.
	Service *network.Service
	// Name is the one that the guest asked for, where it is known.
	Name string
	// Guard watches the rest of a stream that was allowed by its name: every byte passes through it before it goes on.
	Guard *sniff.Guard
}

// Config is what does not change during an attachment.
type Config struct {
	Services []network.Service
	// Gateway and DNS are addresses that exist for the guest alone: behind them are services and nothing else.
	Gateway, DNS []netip.Addr
	// Networks are the guest's own: whatever is in them exists for the guest alone too.
	Networks []netip.Prefix
	// Host are the host's own addresses, as long as SetHost has not told of others.
	Host []netip.Addr
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}
