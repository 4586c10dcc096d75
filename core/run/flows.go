package run

import (
	"context"
	"fmt"
	"sync"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// A guest can make flows as fast as it can send packets, so what is told of one network is bounded.
const (
	maxFlowEvents = 10_000
	maxDenials    = 1_000 // that are told apart
)

// flowReport turns what a network plugin reports into events of the run, and counts it.
type flowReport struct {
	sandbox string
	events  event.Scope
	begun   chan struct{} // closed when the network tells everything

	mu       sync.Mutex
	traffic  event.Traffic
	told     int
	full     bool
	lost     bool
	watching bool
	denials  map[event.Flow]uint64
}

// follow reports until the network ends, or ctx.
func (f *flowReport) follow(ctx context.Context, n network.Network) {
	// Why it ended is told by others: the plugin's death ends the run.
	_ = n.Watch(ctx, func(e network.Event) error {
		f.take(e)
		return nil
	})
}

func (f *flowReport) take(e network.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flow := event.Flow{
		Sandbox: f.sandbox, Protocol: event.Clean(string(e.Protocol)), Source: event.Clean(e.Source), Destination: event.Clean(e.Destination),
		Name: event.Clean(e.Name), Rule: event.Clean(e.Rule),
	}
	switch e.Kind {
	case network.Watching:
		if !f.watching {
			f.watching = true
			close(f.begun)
		}
	case network.Opened:
		f.traffic.Flows++
		f.tell(event.FlowOpened{Flow: flow})
	case network.Closed:
		f.traffic.SentBytes += e.Sent
		f.traffic.ReceivedBytes += e.Received
		f.tell(event.FlowClosed{Flow: flow, SentBytes: e.Sent, ReceivedBytes: e.Received, Took: e.Duration})
	case network.Denied:
		f.traffic.Denied++
		if n := f.denied(flow); powerOfTen(n) {
			f.tell(event.FlowDenied{Flow: flow, Times: n})
		}
	case network.Lost:
		if !f.lost {
			f.lost = true
			f.events.Emit(event.Warning{Message: fmt.Sprintf("sandbox %s: the guest made flows faster than they could be told; some are missing", f.sandbox)})
		}
	}
}

// denied counts how often the guest has tried a destination. Of what is beyond the bound each time is the first.
func (f *flowReport) denied(flow event.Flow) uint64 {
	flow.Source = "" // its port is another one each time
	if f.denials == nil {
		f.denials = map[event.Flow]uint64{}
	}
	if _, known := f.denials[flow]; !known && len(f.denials) >= maxDenials {
		return 1
	}
	f.denials[flow]++
	return f.denials[flow]
}

func powerOfTen(n uint64) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

func (f *flowReport) tell(data event.Data) {
	switch {
	case f.told < maxFlowEvents:
		f.told++
		f.events.Emit(data)
	case !f.full:
		f.full = true
		f.events.Emit(event.Warning{
			Message: fmt.Sprintf("sandbox %s: %d events of its network were told; the rest is only counted", f.sandbox, maxFlowEvents),
		})
	}
}

// Counters of every network, in bytes of frames. They are exact where the closed flows are not: of those that are still open, and
// of what is no flow.
const (
	countSent     = "nic.sent_bytes"
	countReceived = "nic.received_bytes"
)

// total returns what has gone through the network so far. The counters may be nil.
func (f *flowReport) total(counters map[string]uint64) event.Traffic {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.traffic
	if sent, ok := counters[countSent]; ok {
		t.SentBytes, t.ReceivedBytes = sent, counters[countReceived]
	}
	return t
}
