package run

import (
	"fmt"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// report returns a flowReport and how many events of each type it has sent.
func report() (*flowReport, map[string]int) {
	told := map[string]int{}
	stream := event.NewStream("run", event.SinkFunc(func(e event.Event) { told[e.Data.Type()]++ }))
	return &flowReport{sandbox: "box", events: stream.Root().Stage("a"), begun: make(chan struct{})}, told
}

// What is told of a guest's network is bounded, what is counted is not.
func TestFlowsAreToldWithinBounds(t *testing.T) {
	f, told := report()
	for i := range 2 * maxFlowEvents {
		f.take(network.Event{Kind: network.Opened, Protocol: network.TCP, Source: fmt.Sprintf("10.0.2.15:%d", i)})
		f.take(network.Event{Kind: network.Closed, Protocol: network.TCP, Sent: 3, Received: 4})
	}
	if told["flow_opened"]+told["flow_closed"] != maxFlowEvents || told["warning"] != 1 {
		t.Errorf("told %v", told)
	}
	want := event.Traffic{SentBytes: 6 * maxFlowEvents, ReceivedBytes: 8 * maxFlowEvents, Flows: 2 * maxFlowEvents}
	if got := f.total(nil); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	if got := f.total(map[string]uint64{countSent: 1, countReceived: 2}); got.SentBytes != 1 || got.ReceivedBytes != 2 {
		t.Errorf("the plugin's own counters count less than a sum: %+v", got)
	}
}

// A guest that tries the same place for ever is told of now and then, and one that tries every place costs bounded memory.
func TestRepeatedDenialsAreToldRarely(t *testing.T) {
	f, told := report()
	for i := range 1234 {
		f.take(network.Event{Kind: network.Denied, Protocol: network.TCP, Source: fmt.Sprintf("10.0.2.15:%d", i), Destination: "192.0.2.1:1"})
	}
	if told["flow_denied"] != 4 || f.total(nil).Denied != 1234 {
		t.Errorf("told %v, counted %+v", told, f.total(nil))
	}
	for i := range 2 * maxDenials {
		f.take(network.Event{Kind: network.Denied, Protocol: network.TCP, Destination: fmt.Sprintf("192.0.2.2:%d", i)})
	}
	if len(f.denials) != maxDenials {
		t.Errorf("%d denials are remembered", len(f.denials))
	}
}

func TestLostFlowsAreSaidOnce(t *testing.T) {
	f, told := report()
	for range 3 {
		f.take(network.Event{Kind: network.Lost, Sent: 7})
	}
	if told["warning"] != 1 {
		t.Errorf("told %v", told)
	}
}
