package slirp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/flowlog"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/jail"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Options are what the plugin is configured with.
type Options struct {
	// RuntimeDir is where the link's socket goes.
	RuntimeDir string
	// Processors, if not nil, is told how many processors the attachment is worth: one. One goroutine moves everything (package loop), and
	// what netstack's own do for it takes a fraction on the same processor of what it takes to wake another.
	Processors func(n int)
	// Confine closes the jail once everything is set up; nil means jail.Process.
	Confine func(jail.Grants) error
	// Resolvers returns the host's resolvers; nil means those of /etc/resolv.conf.
	Resolvers func() []netip.AddrPort
	// Now is the clock by which flows are idle; nil means time.Now.
	Now func() time.Time
}

// Network serves one attachment.
type Network struct {
	opt Options

	mu       sync.Mutex
	att      *attachment // set by Attach, for good
	closed   bool
	watchers map[chan struct{}]struct{} // each closed when its Watch returns
}

var _ network.Network = (*Network)(nil)

// New returns a network without a guest.
func New() *Network { return &Network{} }

// Configure takes what the host says; to be called once, before Attach.
func (n *Network) Configure(opt Options) { n.opt = opt }

// Attach implements network.Network.
func (n *Network) Attach(_ context.Context, a network.Attachment) (network.Attached, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.att != nil || n.closed {
		return network.Attached{}, errdef.New(errdef.ErrState, "this network has had its guest")
	}
	if n.opt.Processors != nil {
		n.opt.Processors(1) // netstack looks at it when it is made
	}
	path := filepath.Join(n.opt.RuntimeDir, "link.sock")
	att, err := attach(a, path, n.opt)
	if err != nil {
		return network.Attached{}, err
	}
	confine := n.opt.Confine
	if confine == nil {
		confine = jail.Process
	}
	if err := confine(jail.Grants{Dirs: []string{n.opt.RuntimeDir}}); err != nil {
		att.close()
		return network.Attached{}, errdef.New(errdef.ErrUnavailable, "close the jail: %w", err)
	}
	n.att = att
	return network.Attached{
		SocketPath: path, Capabilities: []string{network.CapPublish, network.CapPcap, network.CapPolicy}, Published: att.published,
	}, nil
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

// UpdatePolicy implements network.Network.
func (n *Network) UpdatePolicy(_ context.Context, p network.Policy) (int, error) {
	att, err := n.attached()
	if err != nil {
		return 0, err
	}
	if err := att.policy.Update(p); err != nil {
		return 0, err
	}
	return att.reevaluate(), nil
}

// Publish implements network.Network.
func (n *Network) Publish(_ context.Context, p network.PublishedPort) (netip.AddrPort, error) {
	att, err := n.attached()
	if err != nil {
		return netip.AddrPort{}, err
	}
	return att.publish(p)
}

// Unpublish implements network.Network.
func (n *Network) Unpublish(_ context.Context, proto network.Protocol, guestPort uint16) error {
	att, err := n.attached()
	if err != nil {
		return err
	}
	return att.unpublish(proto, guestPort)
}

// Explain implements network.Network.
func (n *Network) Explain(_ context.Context, f network.Flow) (network.Verdict, error) {
	att, err := n.attached()
	if err != nil {
		return network.Verdict{}, err
	}
	return att.explain(f)
}

// lostEvery is how often a slow watcher learns that it has lost events.
const lostEvery = time.Second

// Watch implements network.Network. Its last events are those of the flows that end with the attachment.
func (n *Network) Watch(ctx context.Context, fn func(network.Event) error) error {
	att, leave, err := n.enter()
	if err != nil {
		return err
	}
	defer leave()
	w := att.log.Watch()
	defer w.Close()
	if err := fn(network.Event{Kind: network.Watching, Time: time.Now()}); err != nil {
		return err
	}
	tick := time.NewTicker(lostEvery)
	defer tick.Stop()
	for {
		var e network.Event
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-att.gone:
			return rest(w, fn)
		case e = <-w.C():
		case <-tick.C:
			lost := w.Lost()
			if lost == 0 {
				continue
			}
			e = network.Event{Kind: network.Lost, Time: time.Now(), Sent: lost}
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

// rest hands over the events that wait.
func rest(w *flowlog.Watcher, fn func(network.Event) error) error {
	for {
		select {
		case e := <-w.C():
			if err := fn(e); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// enter admits a watcher, for which Drain waits.
func (n *Network) enter() (att *attachment, leave func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.att == nil || n.closed {
		return nil, nil, errdef.New(errdef.ErrState, "no guest is attached")
	}
	if n.watchers == nil {
		n.watchers = make(map[chan struct{}]struct{})
	}
	left := make(chan struct{})
	n.watchers[left] = struct{}{}
	return n.att, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.watchers, left)
		close(left)
	}, nil
}

// Stats implements network.Network.
func (n *Network) Stats(context.Context) (map[string]uint64, error) {
	att, err := n.attached()
	if err != nil {
		return nil, err
	}
	s := att.stats()
	s["runtime.goroutines"] = uint64(runtime.NumGoroutine())
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	s["runtime.heap_live_bytes"] = live[0].Value.Uint64()
	return s, nil
}

// Capture implements network.Network.
func (n *Network) Capture(ctx context.Context, c network.Capture, w io.Writer) error {
	att, err := n.attached()
	if err != nil {
		return err
	}
	return att.capture(ctx, c, w)
}

// Drain ends everything, and waits until those who watch have heard of it.
func (n *Network) Drain(ctx context.Context) error {
	n.mu.Lock()
	n.closed = true
	att, watchers := n.att, slices.Collect(maps.Keys(n.watchers))
	n.mu.Unlock()
	if att == nil {
		return nil
	}
	att.close()
	for _, left := range watchers {
		select {
		case <-left:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// serve gives the link to devices that ask for it, one after another, until the attachment ends.
func (a *attachment) serve(l *link.Listener) {
	ctx := a.ctx
	for {
		up, err := l.Accept(ctx)
		switch {
		case ctx.Err() != nil:
			if up != nil {
				up.Close()
			}
			return
		case err != nil:
			slog.Warn("a device did not get its link", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		slog.Debug("link is up", "lanes", up.Lanes())
		err = a.card.Serve(ctx, up)
		up.Close()
		if ctx.Err() == nil && !errors.Is(err, link.ErrPeerGone) {
			slog.Warn("link is down", "error", err)
		}
	}
}

// acceptPause keeps a device that asks wrongly again and again from taking a processor.
const acceptPause = 50 * time.Millisecond
