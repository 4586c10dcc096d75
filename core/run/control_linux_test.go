package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/core/control"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// A run that lives answers through its run directory.
func TestSpeakingToARun(t *testing.T) {
	n := &plan.Network{
		Egress:    &plan.Egress{Allow: []plan.EgressRule{{Origin: "a.hcl:3", Destination: "*.pypi.org:443"}}},
		Published: []plan.PublishedPort{{Protocol: "tcp", GuestPort: 80}},
	}
	var h *harness
	h = newWired(t, n, func(r *Run, guest *wiretest.Guest) {
		c, err := control.Open(h.cfg.RunDir)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for _, check := range []func(context.Context, *control.Client, *wiretest.Guest) error{hasNetwork, explains, publishes, refuses} {
			if err := check(t.Context(), c, guest); err != nil {
				t.Error(err)
			}
		}
	})
	result, err := h.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(result.Dir, "control.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link to the socket is still there: %v", err)
	}
}

func hasNetwork(ctx context.Context, c *control.Client, _ *wiretest.Guest) error {
	info, err := c.Info(ctx)
	if err != nil || info.PID != os.Getpid() || len(info.Networks) != 1 {
		return fmt.Errorf("info %+v, %w", info, err)
	}
	if n := info.Networks[0]; n.Stage != "solo" || n.Sandbox != "box" || len(n.Published) != 1 {
		return fmt.Errorf("network %+v", n)
	}
	return nil
}

func explains(ctx context.Context, c *control.Client, _ *wiretest.Guest) error {
	for host, want := range map[string]control.Verdict{
		"files.pypi.org": {Stage: "solo", Sandbox: "box", Allowed: true, Rule: "a.hcl:3"},
		"192.0.2.1":      {Stage: "solo", Sandbox: "box", Rule: "builtin:default"},
	} {
		got, err := c.Explain(ctx, control.Flow{Protocol: "tcp", Host: host, Port: 443})
		if err != nil || len(got) != 1 {
			return fmt.Errorf("%s: %+v, %w", host, got, err)
		}
		if got[0].Reason = ""; got[0] != want {
			return fmt.Errorf("%s: %+v, want %+v", host, got[0], want)
		}
	}
	return nil
}

// publishes opens a port in mid-run, over which a client reaches the guest, and closes it.
func publishes(ctx context.Context, c *control.Client, guest *wiretest.Guest) error {
	at, err := c.Publish(ctx, control.Publish{Protocol: "tcp", GuestPort: 8080})
	if err != nil || at.Stage != "solo" {
		return fmt.Errorf("published at %+v, %w", at, err)
	}
	client, err := net.Dial("tcp", at.Address)
	if err != nil {
		return err
	}
	defer client.Close()
	guest.Expect("a SYN", wiretest.HasFlags(wiretest.Syn), func(p *wiretest.Packet) bool { return p.Dest.Port() == 8080 })
	info, err := c.Info(ctx)
	if err != nil || len(info.Networks[0].Published) != 2 {
		return fmt.Errorf("info %+v, %w", info, err)
	}
	if err := c.Unpublish(ctx, control.Unpublish{Protocol: "tcp", GuestPort: 8080}); err != nil {
		return err
	}
	if conn, err := net.Dial("tcp", at.Address); err == nil {
		conn.Close()
		return errors.New("the port is still there")
	}
	return nil
}

func refuses(ctx context.Context, c *control.Client, _ *wiretest.Guest) error {
	for what, err := range map[string]error{
		"a port that is not published": c.Unpublish(ctx, control.Unpublish{Protocol: "udp", GuestPort: 1}),
	} {
		if !errors.Is(err, errdef.ErrNotFound) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if _, err := c.Publish(ctx, control.Publish{Protocol: "icmp", GuestPort: 1}); !errors.Is(err, errdef.ErrInvalid) {
		return fmt.Errorf("icmp: %w", err)
	}
	if _, err := c.Publish(ctx, control.Publish{Protocol: "tcp", GuestPort: 80}); !errors.Is(err, errdef.ErrExists) {
		return fmt.Errorf("twice: %w", err)
	}
	if _, err := c.Publish(ctx, control.Publish{Protocol: "tcp", HostAddress: "localhost", GuestPort: 81}); !errors.Is(err, errdef.ErrInvalid) {
		return fmt.Errorf("a name as the host's address: %w", err)
	}
	if _, err := c.Explain(ctx, control.Flow{Stage: "other", Protocol: "tcp", Host: "192.0.2.1", Port: 1}); !errors.Is(err, errdef.ErrState) {
		return fmt.Errorf("another stage: %w", err)
	}
	return nil
}

func TestCancelThroughTheSocket(t *testing.T) {
	var h *harness
	h = newWired(t, &plan.Network{}, func(r *Run, _ *wiretest.Guest) {
		c, err := control.Open(h.cfg.RunDir)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if err := c.Cancel(t.Context()); err != nil {
			t.Error(err)
		}
		<-r.ctx.Done()
	})
	if result, err := h.run(t.Context()); !errors.Is(err, context.Canceled) || result.Status != event.Cancelled {
		t.Errorf("%s, %v", result.Status, err)
	}
}
