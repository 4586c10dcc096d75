package sdk

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// fakeShare answers statistics, when it is let.
type fakeShare struct {
	share.Share
	entered, proceed chan struct{}
}

func (f fakeShare) LoadHandles(context.Context, []byte) (int, error) { return 0, nil }

func (f fakeShare) Stats(context.Context) (map[string]uint64, error) {
	if f.entered != nil {
		close(f.entered)
		<-f.proceed
	}
	return map[string]uint64{"n": 1}, nil
}

func fakePlugin() Plugin {
	return Plugin{Name: "fake", Version: "1.0.0", Share: fakeShare{}, Configure: func(context.Context, base.Config) error { return nil }}
}

func TestMistakesOfTheAuthor(t *testing.T) {
	for _, tt := range []struct {
		text  string
		spoil func(*Plugin)
	}{
		{"exactly one contract", func(p *Plugin) { p.Share = nil }},
		{`name "Fake"`, func(p *Plugin) { p.Name = "Fake" }},
		{`name "../x"`, func(p *Plugin) { p.Name = "../x" }},
		{`version "v1.0.0"`, func(p *Plugin) { p.Version = "v1.0.0" }},
	} {
		p := fakePlugin()
		tt.spoil(&p)
		if _, err := p.Describe(); err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("error %v does not contain %q", err, tt.text)
		}
	}
}

func TestCallsWaitForConfigure(t *testing.T) {
	refuse := true
	p := fakePlugin()
	p.Configure = func(context.Context, base.Config) error {
		if refuse {
			return base.Diagnostics{{Summary: "not yet"}}
		}
		return base.Diagnostics{{Severity: base.Warning, Summary: "at last"}}
	}
	inst := newInstance(p)
	if err := inst.enter(); !errors.Is(err, errdef.ErrState) {
		t.Errorf("before: %v", err)
	}
	inst.Configure(t.Context(), base.Config{})
	if err := inst.enter(); !errors.Is(err, errdef.ErrState) {
		t.Errorf("after a refusal: %v", err)
	}
	refuse = false
	inst.Configure(t.Context(), base.Config{})
	if err := inst.enter(); err != nil {
		t.Errorf("after: %v", err)
	}
	if err := inst.Configure(t.Context(), base.Config{}); !errors.Is(err, errdef.ErrState) {
		t.Errorf("a second time: %v", err)
	}
}

func TestDrainWaitsForCallsAndRefusesNewOnes(t *testing.T) {
	f := fakeShare{entered: make(chan struct{}), proceed: make(chan struct{})}
	hookRan := make(chan struct{})
	hooks := 0
	p := fakePlugin()
	p.Share = f
	p.Drain = func(context.Context) error { hooks++; close(hookRan); return nil }
	conn := TestConn(t, p, "{}")
	client, control := share.NewClient(conn), base.NewClient(conn)

	answered := make(chan error, 1)
	go func() {
		_, err := client.Stats(context.Background())
		answered <- err
	}()
	<-f.entered
	drained := make(chan error, 1)
	go func() { drained <- control.Drain(context.Background(), time.Minute) }()
	// New calls are let in until the drain has begun.
	for {
		if _, err := client.LoadHandles(t.Context(), nil); errors.Is(err, errdef.ErrUnavailable) {
			break
		}
	}
	select {
	case <-hookRan:
		t.Error("the drain did not wait for the call")
	default:
	}
	close(f.proceed)
	if err := <-answered; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("drain: %v", err)
	}
	if err := control.Drain(t.Context(), time.Minute); err != nil || hooks != 1 {
		t.Errorf("a second drain: %v, %d hooks", err, hooks)
	}
}

func TestDrainEndsWithItsGrace(t *testing.T) {
	inst := newInstance(Plugin{Name: "fake", Version: "1.0.0", Share: fakeShare{}})
	if err := inst.enter(); err != nil {
		t.Fatal(err)
	}
	if err := inst.Drain(t.Context(), time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	inst.leave()
}
