//go:build linux

package wire

import (
	"context"
	"io"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/net-tap/internal/device"
	"github.com/voidbox-run/voidbox/plugins/net-tap/internal/jail"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Options are what the plugin is configured with.
type Options struct {
	Device string `json:"device"` // made if it does not exist; one that is free if empty
	Bridge string `json:"bridge"`

	// RuntimeDir is where the link's socket goes.
	RuntimeDir string `json:"-"`
	// Confine closes the jail once everything is set up; nil means jail.Process.
	Confine func(dir string) error `json:"-"`
}

// Network serves one attachment.
type Network struct {
	opt Options

	mu     sync.Mutex
	att    *attachment // set by Attach, for good
	closed bool
}

var _ network.Network = (*Network)(nil)

// New returns a network without a guest.
func New() *Network { return &Network{} }

// maxName is what fits a name of the kernel's, IFNAMSIZ, with its end.
const maxName = 15

// Configure takes what the host says; to be called once, before Attach.
func (n *Network) Configure(opt Options) error {
	for what, name := range map[string]string{"device": opt.Device, "bridge": opt.Bridge} {
		if err := checkName(what, name); err != nil {
			return err
		}
	}
	n.opt = opt
	return nil
}

// checkName refuses what the kernel would not take for a name, or for another one: it fills in numbers for %d.
func checkName(what, name string) error {
	valid := len(name) <= maxName && name != "." && name != ".."
	for _, r := range name {
		valid = valid && r > ' ' && r < 0x7f && r != '/' && r != ':' && r != '%'
	}
	if !valid {
		return errdef.New(errdef.ErrInvalid, "%s %q is no name of a network device: those have up to %d characters, and no space, /, : or %%", what, name, maxName)
	}
	return nil
}

// Attach implements network.Network.
func (n *Network) Attach(_ context.Context, a network.Attachment) (network.Attached, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.att != nil || n.closed {
		return network.Attached{}, errdef.New(errdef.ErrState, "this network has had its guest")
	}
	if err := refuse(a); err != nil {
		return network.Attached{}, err
	}
	queues := max(1, a.QueuePairs)
	dev, err := device.Open(device.Options{
		Name: n.opt.Device, Bridge: n.opt.Bridge, Queues: queues, MTU: a.MTU, MAC: a.GatewayMAC, Addresses: a.Gateway,
	})
	if err != nil {
		return network.Attached{}, err
	}
	path := filepath.Join(n.opt.RuntimeDir, "link.sock")
	listener, err := link.Listen(path, link.Terms{Purpose: link.Frames, MaxLanes: queues, Features: link.NetFeatures})
	if err != nil {
		_ = dev.Close()
		return network.Attached{}, err
	}
	att := start(dev, listener)
	confine := n.opt.Confine
	if confine == nil {
		confine = jail.Process
	}
	if err := confine(n.opt.RuntimeDir); err != nil {
		att.close()
		return network.Attached{}, errdef.New(errdef.ErrUnavailable, "close the jail: %w", err)
	}
	n.att = att
	return network.Attached{SocketPath: path}, nil
}

// refuse refuses what nobody here would do.
func refuse(a network.Attachment) error {
	if err := refusePolicy(a.Policy); err != nil {
		return err
	}
	if len(a.Services) > 0 {
		return unsupported("has no services: its guest reaches what the host's kernel lets it reach", "let the service listen on an address of the device's")
	}
	if len(a.Published) > 0 {
		return unsupported("publishes no ports: the guest has an address of its own", "connect to the guest's address")
	}
	return nil
}

func refusePolicy(p network.Policy) error {
	if p.Default == network.Allow && len(p.Rules) == 0 && !p.RestrictNames && p.Limits == (network.Limits{}) {
		return nil
	}
	return unsupported("enforces no policy: where its guest may go is decided by the host's routes and firewall",
		"take the egress and limits blocks out and write rules for the device, such as: nft add rule inet filter forward iifname \"vbtap0\" drop")
}

func unsupported(what, remedy string) error {
	return errdef.New(errdef.ErrUnsupported, "network tap %s", what).WithRemedy("%s; or use network \"slirp\"", remedy)
}

// attached returns the attachment, or says that there is none.
func (n *Network) attached() (*attachment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.att == nil {
		return nil, errdef.New(errdef.ErrState, "no guest is attached")
	}
	return n.att, nil
}

// UpdatePolicy implements network.Network. The one policy that can be held is that there is none.
func (n *Network) UpdatePolicy(_ context.Context, p network.Policy) (int, error) {
	if _, err := n.attached(); err != nil {
		return 0, err
	}
	return 0, refusePolicy(p)
}

// Publish implements network.Network.
func (n *Network) Publish(context.Context, network.PublishedPort) (netip.AddrPort, error) {
	if _, err := n.attached(); err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPort{}, refuse(network.Attachment{Policy: network.Policy{Default: network.Allow}, Published: make([]network.PublishedPort, 1)})
}

// Unpublish implements network.Network.
func (n *Network) Unpublish(_ context.Context, _ network.Protocol, port uint16) error {
	if _, err := n.attached(); err != nil {
		return err
	}
	return errdef.New(errdef.ErrNotFound, "port %d is not published: network tap publishes none", port)
}

// Explain implements network.Network.
func (n *Network) Explain(context.Context, network.Flow) (network.Verdict, error) {
	if _, err := n.attached(); err != nil {
		return network.Verdict{}, err
	}
	return network.Verdict{}, unsupported("knows of no flows", "ask the host's firewall: nft list ruleset")
}

// Watch implements network.Network. There is nothing to be told of.
func (n *Network) Watch(ctx context.Context, fn func(network.Event) error) error {
	att, err := n.attached()
	if err != nil {
		return err
	}
	if err := fn(network.Event{Kind: network.Watching, Time: time.Now()}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-att.ctx.Done():
		return nil
	}
}

// Stats implements network.Network.
func (n *Network) Stats(context.Context) (map[string]uint64, error) {
	att, err := n.attached()
	if err != nil {
		return nil, err
	}
	return att.count.stats(), nil
}

// Capture implements network.Network.
func (n *Network) Capture(context.Context, network.Capture, io.Writer) error {
	att, err := n.attached()
	if err != nil {
		return err
	}
	return unsupported("captures nothing", "run: tcpdump -i "+att.dev.Name)
}

// Drain ends everything, the device included if it was made.
func (n *Network) Drain(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.att != nil {
		n.att.close()
	}
	return nil
}
