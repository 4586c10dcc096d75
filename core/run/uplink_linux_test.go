package run

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// relinking is a host whose monitor takes another link when its guest's network plugin was replaced.
type relinking struct {
	Host
	t       *testing.T
	refuses bool

	mu       sync.Mutex
	networks []*pluginhost.Instance
	relinked chan vmm.Link
}

func (h *relinking) Start(ctx context.Context, req pluginhost.Request) (Plugin, error) {
	p, err := h.Host.Start(ctx, req)
	if err != nil {
		return nil, err
	}
	switch req.Kind {
	case base.KindNetwork:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.networks = append(h.networks, p.(*pluginhost.Instance))
	case base.KindVMM:
		return monitored{p, relinker{host: h}}, nil
	}
	return p, nil
}

func (h *relinking) Capabilities(ctx context.Context, kind base.Kind, name string) ([]string, error) {
	able, err := h.Host.Capabilities(ctx, kind, name)
	if kind == base.KindVMM {
		able = append(able, vmm.CapRelink)
	}
	return able, err
}

// kill kills the present network plugin.
func (h *relinking) kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.networks[len(h.networks)-1]
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		h.t.Error(err)
	}
	<-p.Exited()
}

type monitored struct {
	Plugin
	monitor vmm.VMM
}

func (m monitored) VMM() vmm.VMM { return m.monitor }

type relinker struct {
	vmm.VMM
	host *relinking
}

func (r relinker) Relink(_ context.Context, l vmm.Link) error {
	if r.host.refuses {
		return errdef.New(errdef.ErrUnavailable, "no link for you")
	}
	r.host.relinked <- l
	return nil
}

// newRelinking is newWired with a monitor that can.
func newRelinking(t *testing.T, n *plan.Network, act func(r *Run, h *relinking, guest *wiretest.Guest)) (*harness, *relinking) {
	host := &relinking{t: t, relinked: make(chan vmm.Link, maxRelinks+1)}
	h := newWired(t, n, func(r *Run, guest *wiretest.Guest) { act(r, host, guest) })
	host.Host, h.cfg.Host = h.cfg.Host, host
	return h, host
}

// reconnect is what the guest's network card does.
func (h *relinking) reconnect() *wiretest.Guest {
	l := <-h.relinked
	guest := wiretest.Connect(h.t, network.Attached{SocketPath: l.SocketPath}, 1, link.NetFeatures)
	guest.Settled()
	return guest
}

func TestDeadNetworkPluginIsReplaced(t *testing.T) {
	l := listening(t)
	n := &plan.Network{
		Egress:    &plan.Egress{},
		Services:  []plan.Service{{Name: "model", Address: "10.0.2.2:11434", TCPAddress: l.Addr().String()}},
		Published: []plan.PublishedPort{{Protocol: "tcp", GuestPort: 80}},
	}
	told := make(chan struct{}, 1)
	var published []string
	h, _ := newRelinking(t, n, func(r *Run, host *relinking, guest *wiretest.Guest) {
		// flow opens one, and tells whether the run has heard of it: it begins to listen when the guest does to send.
		flow := func() bool {
			c := guest.Dial(netip.MustParseAddrPort("10.0.2.2:11434"))
			server, err := l.Accept()
			if err != nil {
				t.Error(err)
				return true
			}
			c.Rst()
			server.Close()
			select {
			case <-told:
				return true
			case <-time.After(100 * time.Millisecond):
				return false
			}
		}
		for range maxRelinks {
			host.kill()
			guest = host.reconnect()
			guest.Open(netip.MustParseAddrPort("93.184.215.14:22")).ExpectReset() // the policy is there, and so are the services:
			for !flow() {
			}
			for _, g := range r.networks.all() {
				published = append(published, g.ports.list()...)
			}
		}
	})
	h.watch = func(e event.Event) {
		if _, opened := e.Data.(event.FlowOpened); opened {
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}
	result, err := h.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	warned := pick[event.Warning](h)
	if len(warned) != maxRelinks || !strings.Contains(warned[0].Message, "plugin network-slirp died (signal: killed); another one takes its place") {
		t.Errorf("warnings %+v", warned)
	}
	if len(published) != maxRelinks || published[0] != published[maxRelinks-1] || !strings.Contains(published[0], "tcp 127.0.0.1:") {
		t.Errorf("published %q", published)
	}
	if result.Traffic.Flows < maxRelinks { // those of all plugins
		t.Errorf("traffic %+v", result.Traffic)
	}
}

func TestNetworkPluginThatCannotBeReplacedEndsTheRun(t *testing.T) {
	for name, tc := range map[string]struct {
		limits  plan.NetworkLimits
		refuses bool
		kills   int
		says    string
	}{
		"it dies again and again":       {kills: maxRelinks + 1, says: "3 have died already"},
		"its budget would begin anew":   {limits: plan.NetworkLimits{TotalBytes: 1 << 20}, kills: 1, says: "total_bytes"},
		"the monitor takes no new link": {refuses: true, kills: 1, says: "no link for you"},
	} {
		t.Run(name, func(t *testing.T) {
			n := &plan.Network{Limits: tc.limits}
			h, host := newRelinking(t, n, func(r *Run, host *relinking, _ *wiretest.Guest) {
				for i := range tc.kills {
					if i > 0 {
						host.reconnect()
					}
					host.kill()
				}
				<-r.ctx.Done()
			})
			host.refuses = tc.refuses
			result, err := h.run(t.Context())
			var dead *PluginError
			if !errors.As(err, &dead) || dead.Plugin != "network-slirp" || !strings.Contains(err.Error(), tc.says) || result.Status != event.Failed {
				t.Errorf("%v: %+v", err, result)
			}
		})
	}
}
