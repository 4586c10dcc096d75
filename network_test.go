package voidbox_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func TestNetworksDoNotShareState(t *testing.T) {
	base := func() voidbox.RunnableSandbox {
		return voidbox.NewSandbox().Run("sleep", "infinity").Service("a", "10.0.2.2:1", "127.0.0.1:1").Publish(1)
	}
	a := base()
	before := a.Limits(plan.NetworkLimits{Connections: 1})
	_ = before.Allow("a.example").Service("b", "10.0.2.2:2", "unix:b.sock").Publish(2).Network("tap", nil)
	if !reflect.DeepEqual(before, base().Limits(plan.NetworkLimits{Connections: 1})) || !reflect.DeepEqual(a, base()) {
		t.Error("a copy changed the original")
	}
}

func TestNetworksThatCannotBe(t *testing.T) {
	install(t)
	box := voidbox.NewSandbox().Run("sleep", "infinity")
	for name, s := range map[string]voidbox.RunnableSandbox{
		"a destination that is none":  box.Allow("not a host"),
		"the loopback":                box.Allow("127.0.0.1:80"),
		"a service without an end":    box.Service("s", "10.0.2.2:1", ""),
		"a service in a strange port": box.Service("s", "10.0.2.2", "127.0.0.1:1"),
		"a layout":                    box.Layout(plan.NetworkLayout{Subnet: "everything"}),
	} {
		if _, err := s.Build(t.Context()); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := box.Network("slirp", map[string]any{"f": func() {}}).Build(t.Context()); err == nil {
		t.Error("settings that are no JSON are taken")
	}
	if _, err := box.Allow("1.2.3.4", "not a host").Build(t.Context()); err == nil || !strings.Contains(err.Error(), "network_test.go:") {
		t.Errorf("the line of the program is not named: %v", err)
	}
}

// A guest reaches what it may, and is reached, by what the builder says alone.
func TestNetworkInAVM(t *testing.T) {
	testvm.Require(t)
	install(t)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from the host") })}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(l) })
	defer serving.Wait()
	defer server.Close()
	var mu sync.Mutex
	var denied []event.FlowDenied
	ctx := t.Context()
	box, err := voidbox.NewSandbox().Run("httpd", "-f", "-p", "8080", "-h", "/tmp").MemoryMB(256).Backend("qemu").
		Allow("*.pypi.org:443", "192.0.2.0/24:80").Publish(8080).
		Service("files", "10.0.2.2:8000", l.Addr().String()).Service("files6", "[fd76:6f69:6462:6f78::2]:8000", l.Addr().String()).
		Layout(plan.NetworkLayout{IPv6: plan.IPv6On}).
		OnEvent(func(e event.Event) {
			if d, ok := e.Data.(event.FlowDenied); ok {
				mu.Lock()
				defer mu.Unlock()
				denied = append(denied, d)
			}
		}).Build(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Shutdown(context.WithoutCancel(ctx))
	if err := box.WaitReady(ctx, bootLimit); err != nil {
		t.Fatal(err)
	}
	if out, err := box.Exec(ctx, "wget -q -O - http://10.0.2.2:8000/", nil); err != nil || string(out.Stdout) != "from the host" {
		t.Errorf("the guest read %q, %q, %v", out.Stdout, out.Stderr, err)
	}
	const over6 = "ip -6 addr show scope global; wget -q -O - 'http://[fd76:6f69:6462:6f78::2]:8000/'"
	if out, err := box.Exec(ctx, over6, nil); err != nil || !strings.Contains(string(out.Stdout), "fd76:6f69:6462:6f78:5054:ff:fe12:3456/64") ||
		!strings.HasSuffix(string(out.Stdout), "from the host") {
		t.Errorf("IPv6: %s%s%v", out.Stdout, out.Stderr, err)
	}
	if out, err := box.Exec(ctx, "wget -q -O - http://198.51.100.1/", nil); err != nil || out.ExitCode == 0 {
		t.Errorf("the guest went elsewhere: %q, %v", out.Stdout, err)
	}
	reachesIn(t, box)
	if _, err := box.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(denied) != 1 || denied[0].Destination != "198.51.100.1:80" || denied[0].Rule != "builtin:default" {
		t.Errorf("denials %+v", denied)
	}
}

// reachesIn asks the guest's web server, at the port that came with the sandbox and at one that comes later.
func reachesIn(t *testing.T, box *voidbox.Sandbox) {
	t.Helper()
	ctx := t.Context()
	if err := box.WriteFile(ctx, "/tmp/index.html", []byte("from the guest")); err != nil {
		t.Fatal(err)
	}
	get := func(addr string) (string, error) {
		resp, err := http.Get("http://" + addr + "/index.html")
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}
	at, err := box.Published(ctx, network.TCP, 8080)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := get(at.String()); err != nil || body != "from the guest" {
		t.Errorf("at %v: %q, %v", at, body, err)
	}
	if err := box.Unpublish(ctx, network.TCP, 8080); err != nil {
		t.Error(err)
	}
	if _, err := get(at.String()); err == nil {
		t.Error("the port is still there")
	}
	at, err = box.Publish(ctx, network.PublishedPort{Protocol: network.TCP, GuestPort: 8080})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := get(at.String()); err != nil || body != "from the guest" {
		t.Errorf("at %v, later: %q, %v", at, body, err)
	}
	if v, err := box.Explain(ctx, network.Flow{Protocol: network.TCP, Host: "192.0.2.7", Port: 80}); err != nil || v.Action != network.Allow || !strings.HasPrefix(v.Rule, "network_test.go:") {
		t.Errorf("explained %+v, %v", v, err)
	}
}
