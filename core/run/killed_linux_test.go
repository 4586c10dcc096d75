package run

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/wiretest"
)

// A network plugin that is killed in the middle of many transfers ends the run where no other can take its place, and leaves no
// process, no socket and no connection to the servers.
func TestNetworkPluginKilledUnderLoad(t *testing.T) {
	const flows = 200
	l := listening(t)
	n := &plan.Network{Services: []plan.Service{{Name: "model", Address: "10.0.2.2:11434", TCPAddress: l.Addr().String()}}}
	var servers []net.Conn
	h := newWired(t, n, func(r *Run, guest *wiretest.Guest) {
		for range flows {
			c := guest.Dial(netip.MustParseAddrPort("10.0.2.2:11434"))
			server, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			servers = append(servers, server)
			c.Send("an upload that never ends ")
		}
		plugin := r.networks.all()[0].plugin.(*pluginhost.Instance)
		if err := syscall.Kill(plugin.PID(), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		<-r.ctx.Done()
	})
	var dead *PluginError
	if _, err := h.run(t.Context()); !errors.As(err, &dead) || dead.Plugin != "network-slirp" {
		t.Errorf("error %v", err)
	}
	for i, s := range servers {
		if _, err := io.Copy(io.Discard, s); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connection %d: %v", i, err)
		}
		s.Close()
	}
	if len(servers) != flows {
		t.Errorf("%d connections", len(servers))
	}
}
