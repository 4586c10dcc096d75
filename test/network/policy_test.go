package network_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/internal/testnet"
)

// hostAddress is the machine's own.
var hostAddress = testnet.Host.Addr().String()

// awaitDenied waits for the word that a flow was denied by a rule.
func (h *host) awaitDenied(destination, rule string) {
	h.Helper()
	h.await("denied "+destination+" by "+rule, func(d event.Data) bool {
		denied, ok := d.(event.FlowDenied)
		return ok && (denied.Destination == destination || denied.Name == destination) && strings.Contains(denied.Rule, rule)
	})
}

func TestDeniedNamesAndAddresses(t *testing.T) {
	onMonitors(t, func(h *host) {
		h.web()
		h.AddName("evil.example", webAddress)
		h.nobodyComesTo("203.0.113.66:80")
		datagrams := h.ListenPacket("203.0.113.66:9")
		go echo(datagrams)
		g := h.boot(`
    egress {
      allow = ["` + webName + `:80", "203.0.113.66:9/udp"]
      deny  = ["203.0.113.99"]
    }`)

		g.says("wget -q -O - http://"+webName+"/page", "a page of "+webName) // what is allowed works
		g.says(`bash -c 'exec 3<>/dev/udp/203.0.113.66/9; echo datagram >&3; timeout 30 dd bs=64 count=1 <&3'`, "datagram")

		// A name that no rule allows does not exist, and nobody is asked for it.
		if out := g.fails("nslookup evil.example"); !strings.Contains(out, "NXDOMAIN") {
			g.Errorf("the answer is %s", out)
		}
		h.awaitDenied("evil.example", "builtin:default")
		if n := h.Asked("evil.example"); n != 0 {
			g.Errorf("the resolver was asked %d times", n)
		}

		// An address that no rule allows is refused at once, and so is the address of an allowed name without that name.
		for destination, rule := range map[string]string{
			"203.0.113.66:80": "builtin:default", "203.0.113.99:80": "agent.hcl:", "169.254.169.254:80": "builtin:metadata", hostAddress + ":22": "builtin:host",
		} {
			hostPart, port, _ := net.SplitHostPort(destination)
			if out := g.fails("nc -w 30 " + hostPart + " " + port + " < /dev/null"); !strings.Contains(out, "refused") {
				g.Errorf("%s: %s", destination, out)
			}
			h.awaitDenied(destination, rule)
		}
		g.fails("wget -q -O - http://" + webAddress + "/page")
		h.awaitDenied(webAddress+":80", "builtin:name")
		g.fails("ping -c 1 -W 1 203.0.113.66")
		g.fails("nslookup " + webName + " " + testnet.Resolver.String()) // another resolver
	})
}

// nobodyComesTo fails the test for everybody who connects to an address of the internet, which listens.
func (h *host) nobodyComesTo(address string) {
	h.Helper()
	l := h.Listen(address)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.Errorf("%v came through to %s", conn.RemoteAddr(), address)
			_ = conn.Close()
		}
	})
	h.Cleanup(func() { _ = l.Close(); done.Wait() })
}
