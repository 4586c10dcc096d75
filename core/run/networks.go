package run

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// networks are those of a run's guests, at most one of a stage at a time.
type networks struct {
	mu      sync.Mutex
	live    map[string]*guestNet // by stage
	traffic map[string]event.Traffic
	files   map[string]int // captures of a stage so far
}

// guestNet is the network of one guest that lives.
type guestNet struct {
	network.Network
	stage, sandbox string
	layout         network.Attachment
	policy         atomic.Pointer[network.Policy] // that holds now
	plugin         Plugin
	report         flowReport
	ports          ports
	cancel         context.CancelFunc
	ctx            context.Context // ends when the network has
	watched        chan struct{}   // closed when nobody follows the flows any more
	captured       chan struct{}   // closed when nobody captures any more; nil if nobody does
}

// open notes a network and reports its flows until it is closed.
func (n *networks) open(ctx context.Context, sandbox string, layout network.Attachment, plugin Plugin, events event.Scope) *guestNet {
	g := &guestNet{
		Network: plugin.Network(), stage: events.StageID(), sandbox: sandbox, layout: layout, plugin: plugin,
		report: flowReport{sandbox: sandbox, events: events, begun: make(chan struct{})}, watched: make(chan struct{}),
	}
	g.policy.Store(&layout.Policy)
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(g.watched)
		g.report.follow(g.ctx, g)
	}()
	g.awaitWatch(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live == nil {
		n.live, n.traffic = map[string]*guestNet{}, map[string]event.Traffic{}
	}
	n.live[g.stage] = g
	return g
}

// watchTime is how long a network may take to say that it tells of flows. One that does not is used all the same.
const watchTime = 2 * time.Second

// awaitWatch waits until no flow can escape notice, before the guest can make any.
func (g *guestNet) awaitWatch(ctx context.Context) {
	timer := time.NewTimer(watchTime)
	defer timer.Stop()
	select {
	case <-g.report.begun:
	case <-g.watched: // it is dead already, or cannot tell
	case <-ctx.Done():
	case <-timer.C:
	}
}

// update replaces the network's policy, also for a plugin that should take this one's place.
func (g *guestNet) update(ctx context.Context, p network.Policy) error {
	_, err := g.UpdatePolicy(ctx, p)
	if err == nil {
		g.policy.Store(&p)
	}
	return err
}

// close ends a network, which the guest has left.
func (n *networks) close(ctx context.Context, g *guestNet) error {
	counters, _ := g.Stats(ctx) // a plugin that is dead has none, and closed flows will do
	err := g.plugin.Close(ctx)
	select {
	case <-g.watched: // with the last words of the plugin
	case <-ctx.Done():
	}
	g.cancel()
	<-g.watched
	if g.captured != nil {
		<-g.captured
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live[g.stage] == g {
		delete(n.live, g.stage)
	}
	n.traffic[g.stage] = n.traffic[g.stage].Add(g.report.total(counters))
	return err
}

// of returns what has gone through the networks of a stage. Those that are kept count without their bytes.
func (n *networks) of(stage string) event.Traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.traffic[stage]
	if g := n.live[stage]; g != nil {
		t = t.Add(g.report.total(nil))
	}
	return t
}

// all returns the networks that live, in the order of their stages.
func (n *networks) all() []*guestNet {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*guestNet
	for _, g := range n.live {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *guestNet) int { return cmp.Compare(a.stage, b.stage) })
	return out
}
