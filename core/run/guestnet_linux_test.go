package run

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// wiredHost has the network plugin of this tree beside what a fakeHost has.
type wiredHost struct {
	*fakeHost
	real Host
}

func (h wiredHost) Start(ctx context.Context, req pluginhost.Request) (Plugin, error) {
	if req.Kind == base.KindNetwork {
		return h.real.Start(ctx, req)
	}
	return h.fakeHost.Start(ctx, req)
}

// newWired returns a run of one agent in a VM that is made of a network card only: act is what it does while the agent thinks.
func newWired(t *testing.T, n *plan.Network, act func(r *Run, guest *wiretest.Guest)) *harness {
	t.Helper()
	runtime, err := os.MkdirTemp("", "vb") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: testbin.Dir(t), RuntimeDir: runtime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(runtime + "/*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		os.RemoveAll(runtime)
	})
	var guest *wiretest.Guest
	var h *harness
	h = newHarness(t, single(nil), llms(answering(func(context.Context, string) (llm.Turn, error) {
		act(h.started, guest)
		return testllm.Say("done"), nil
	})))
	n.Block = plan.Block{Plugin: "slirp"}
	h.cfg.Plan.Agents[0].Sandbox.Backend, h.cfg.Plan.Agents[0].Sandbox.Network = "kvm", n
	h.cfg.Host, h.cfg.ControlDir = wiredHost{h.host, Plugins(host)}, host.RuntimeDir()
	h.cfg.newVM = func(_ context.Context, cfg sandbox.VMConfig) (box, error) {
		guest = wiretest.Connect(t, network.Attached{SocketPath: cfg.Links[0].SocketPath}, 1, link.NetFeatures)
		guest.Settled()
		return fakeVM{h.host.newSandbox(), new(bool), nil}, nil
	}
	return h
}

// pick returns the payloads of one type.
func pick[T event.Data](h *harness) []T {
	var out []T
	for _, e := range h.events {
		if d, ok := e.Data.(T); ok {
			out = append(out, d)
		}
	}
	return out
}

// listening returns a listener on the host's loopback.
func listening(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestFlowsAreEvents(t *testing.T) {
	l := listening(t)
	n := &plan.Network{
		Egress:   &plan.Egress{Allow: []plan.EgressRule{{Origin: "a.hcl:3", Destination: "*.pypi.org:443"}}},
		Services: []plan.Service{{Name: "model", Address: "10.0.2.2:11434", TCPAddress: l.Addr().String()}},
	}
	h := newWired(t, n, func(_ *Run, guest *wiretest.Guest) {
		for range 12 {
			guest.Open(netip.MustParseAddrPort("93.184.215.14:22")).ExpectReset()
		}
		c := guest.Dial(netip.MustParseAddrPort("10.0.2.2:11434"))
		server, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer server.Close()
		c.Send("hello")
		if _, err := server.Read(make([]byte, 5)); err != nil {
			t.Error(err)
		}
		// It stays open: the end of the network closes it.
	})
	result, err := h.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	denied := pick[event.FlowDenied](h)
	if len(denied) != 2 || denied[0].Times != 1 || denied[1].Times != 10 {
		t.Fatalf("denials %+v", denied)
	}
	if d := denied[0]; d.Sandbox != "box" || d.Protocol != "tcp" || d.Destination != "93.184.215.14:22" || d.Rule != "builtin:default" ||
		!strings.HasPrefix(d.Source, "10.0.2.15:") {
		t.Errorf("denied: %+v", d)
	}
	if opened := pick[event.FlowOpened](h); len(opened) != 1 || opened[0].Rule != "builtin:service" {
		t.Errorf("opened: %+v", opened)
	}
	if closed := pick[event.FlowClosed](h); len(closed) != 1 || closed[0].SentBytes != 5 {
		t.Errorf("closed: %+v", closed)
	}
	got := result.Traffic
	if got.Flows != 1 || got.Denied != 12 || got.SentBytes < 5 || got.ReceivedBytes == 0 || result.Stages["solo"].Traffic != got {
		t.Errorf("traffic %+v, of the stage %+v", got, result.Stages["solo"].Traffic)
	}
	if log := h.record("events.jsonl"); !strings.Contains(log, `"type":"flow_denied"`) {
		t.Error("the record lacks the denial")
	}
}
