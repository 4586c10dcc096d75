package view

import (
	"bytes"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
)

func TestNetworkLines(t *testing.T) {
	var out bytes.Buffer
	sink := NewPlain(&out, Clean(&out))
	flow := event.Flow{Sandbox: "box", Protocol: "tcp", Source: "10.0.2.15:4", Destination: "93.184.215.14:443", Name: "evil.example\x1b[2J", Rule: "agent.hcl:12"}
	for _, data := range []event.Data{
		event.FlowOpened{Flow: flow}, event.FlowClosed{Flow: flow},
		event.FlowDenied{Flow: flow, Times: 1}, event.FlowDenied{Flow: flow, Times: 10},
		event.RunFinished{Status: event.Succeeded, Traffic: event.Traffic{SentBytes: 999, ReceivedBytes: 5 << 20, Denied: 10}},
	} {
		sink.Event(event.Event{Data: data})
	}
	want := `⊘ network denied tcp 93.184.215.14:443 (evil.example[2J) by agent.hcl:12
⊘ network denied tcp 93.184.215.14:443 (evil.example[2J) by agent.hcl:12, 10 times by now
✓ succeeded in 0 ms · network 999 B sent, 5.0 MiB received, 10 denied
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB", 1 << 63: "8.0 EiB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
