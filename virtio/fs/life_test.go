//go:build linux

package fs

import (
	"context"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// never is longer than any test takes: a Stop that waits for replies waits for them alone.
const never = time.Hour

// stuck sends a request on each queue that the plugin has taken and not answered.
func (g *guest) stuck() (messages [][]byte, heads []uint16, tags []link.Tag) {
	g.t.Helper()
	for i, q := range g.queues {
		m := g.request(opRead, "stuck")
		messages, heads = append(messages, m), append(heads, q.send(m, 64))
		tags = append(tags, g.wantRecord(i, link.KindRequest, m).Tag)
	}
	return messages, heads, tags
}

func (g *guest) wantEIO(messages [][]byte, heads []uint16) {
	g.t.Helper()
	for i, q := range g.queues {
		q.want(heads[i], replyTo(messages[i], syscall.EIO, ""))
	}
}

func TestDeadPlugin(t *testing.T) {
	g := boot(t, setup{queues: 2})
	for range 3 {
		g.wantAlive()
		messages, heads, _ := g.stuck()
		g.plugin.Close()
		g.wantEIO(messages, heads)
		g.wantEvent(false, link.ErrPeerGone)
		for _, q := range g.queues {
			for range 2 * ringSize {
				m := g.request(opRead, "x")
				q.want(q.send(m, 64), replyTo(m, syscall.EIO, ""))
			}
			q.want(q.send(g.request(opForget, ""), 0), []byte{})
		}
		g.relink()
		g.wantEvent(true, nil)
	}
	g.wantAlive()
	m := g.dev.Metrics()
	if m.Failed != 3*3*(1+2*ringSize+1) || m.InFlight != 0 || m.LinkDowns != 3 {
		t.Errorf("metrics %+v", m)
	}
}

func TestRelinkOfALivingLink(t *testing.T) {
	g := boot(t, setup{})
	messages, heads, _ := g.stuck()
	old := g.plugin
	g.relink()
	<-old.Done()
	g.wantEIO(messages, heads)
	g.wantAlive()
	if n := g.dev.Metrics().InFlight; n != 0 {
		t.Errorf("%d requests in flight", n)
	}
}

func TestDeviceWithoutALink(t *testing.T) {
	g := &guest{t: t, events: make(chan event, 4)}
	g.dev = g.set.over(t, nil, g.onLink)
	g.begin()
	m := g.request(opRead, "x")
	g.queues[1].want(g.queues[1].send(m, 64), replyTo(m, syscall.EIO, ""))
	g.relink()
	g.wantAlive()
}

func TestRelinkRefuses(t *testing.T) {
	g := boot(t, setup{})
	for _, ask := range []link.Ask{Ask(2), {Purpose: link.Frames, Lanes: 2}} {
		device, plugin := virtiotest.NewLink(t, link.Terms{Purpose: ask.Purpose}, ask)
		if err := g.dev.Relink(device); err == nil {
			t.Error("no error")
		}
		<-plugin.Done() // the link was taken over all the same
	}
	g.wantAlive()
	_ = g.dev.Close()
	device, _ := virtiotest.NewLink(t, g.set.terms(), Ask(1))
	if err := g.dev.Relink(device); err == nil {
		t.Error("a closed device took a link")
	}
}

// bootTapped is boot over a link whose peer breaks rules.
func bootTapped(t *testing.T) (*guest, *virtiotest.TappedLink) {
	t.Helper()
	s := setup{ringSize: link.MinRing, payload: 8192, drain: 1}
	l := virtiotest.NewTappedLink(t, s.terms(), Ask(1))
	g := &guest{t: t, set: s, plugin: l.Plugin, events: make(chan event, 4)}
	g.dev = s.over(t, l.Device, g.onLink)
	g.begin()
	return g, l
}

// A plugin that blocks the device in the middle of a kick cannot keep it from being reset.
func TestPluginHoldsUpTheDevice(t *testing.T) {
	g, l := bootTapped(t)
	g.wantAlive()
	g.dev.patience = time.Millisecond
	published := l.HoldUp(t, 1)
	g.queues[1].send(g.request(opRead, "x"), 64)
	for !published() {
		runtime.Gosched()
	}
	g.drv.Reset()
	g.wantEvent(false, link.ErrViolation)
	g.relink()
	g.start()
	g.wantAlive()
}

// A plugin that breaks the link's rules is a dead plugin.
func TestViolation(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong func(l *virtiotest.TappedLink, record int)
	}{
		{"kind", func(l *virtiotest.TappedLink, record int) { l.Memory[record+4] = 3 }},
		{"tag of another slot", func(l *virtiotest.TappedLink, record int) { l.Memory[record+20]++ }},
		{"tag of another generation", func(l *virtiotest.TappedLink, record int) { l.Memory[record+16]++ }},
		{"reply larger than its room", func(l *virtiotest.TappedLink, record int) { l.Memory[record] = 65 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, l := bootTapped(t)
			messages, heads, tags := g.stuck()
			out := l.Plugin.Lane(0).Out
			if _, err := out.TryReserve(link.KindReply, 64); err != nil {
				t.Fatal(err)
			}
			out.CommitReply(tags[0], 64)
			const control = 4096
			c.wrong(l, control+link.MinRing) // lane 0's down ring is behind its up ring
			if err := out.Publish(); err != nil {
				t.Fatal(err)
			}
			g.wantEvent(false, link.ErrViolation)
			g.wantEIO(messages, heads)
			g.relink()
			g.wantAlive()
		})
	}
}

// A new driver hears nothing of the old one's requests, and gets their credits.
func TestResetDropsRequests(t *testing.T) {
	g := boot(t, setup{credits: 1})
	old, _, tags := g.stuck()
	g.drv.Reset()
	if n := g.dev.Metrics().InFlight; n != 0 {
		t.Errorf("%d requests in flight after a reset", n)
	}
	g.start()
	var messages [][]byte
	var heads []uint16
	for _, q := range g.queues {
		m := g.request(opRead, "new")
		messages, heads = append(messages, m), append(heads, q.send(m, 64))
	}
	for i, q := range g.queues {
		g.answer(i, tags[i], replyTo(old[i], 0, "late"))
		rec := g.wantRecord(i, link.KindRequest, messages[i])
		r := replyTo(messages[i], 0, "in time")
		g.answer(i, rec.Tag, r)
		q.want(heads[i], r)
	}
	g.wantAlive()
}

// responder answers what comes on a lane until the link is down.
func responder(l *link.Link, lane int) {
	ctx := context.Background()
	in, out := l.Lane(lane).In, l.Lane(lane).Out
	for rec := (link.Record{}); ; {
		ok, err := in.Next(&rec)
		if err == nil && !ok {
			if err = out.Publish(); err == nil {
				err = in.Wait(ctx)
			}
		}
		if err != nil {
			return
		}
		if !ok || rec.Kind != link.KindRequest {
			continue
		}
		r := replyTo(rec.Payload, 0, "answer")
		buf, err := out.TryReserve(link.KindReply, len(r))
		if err != nil {
			return
		}
		copy(buf, r)
		out.CommitReply(rec.Tag, len(r))
	}
}

// Pauses, resets and new plugins at any moment of a busy life: each request that no reset drops is answered once.
func TestLifeUnderTraffic(t *testing.T) {
	g := boot(t, setup{queues: 2, credits: 8})
	var plugins sync.WaitGroup
	serve := func() {
		for i := range g.plugin.Lanes() {
			plugin := g.plugin
			plugins.Go(func() { responder(plugin, i) })
		}
	}
	serve()
	defer func() { _ = g.plugin.Break(link.ErrClosed); plugins.Wait() }()
	for round := range 60 {
		for _, q := range g.queues {
			for range ringSize / 4 {
				q.add(g.request(opRead, "x"), 64)
			}
			q.ring.Publish()
		}
		reset := false
		switch round % 4 {
		case 0:
			g.drv.Transport.Pause()
			g.drv.Transport.Resume()
		case 1:
			_ = g.plugin.Break(link.ErrClosed)
			g.relink()
			serve()
		case 2:
			g.relink()
			serve()
		case 3:
			g.start()
			reset = true
		}
		for _, q := range g.queues {
			for !reset && len(q.slots) > 0 {
				_, reply := q.wait()
				if len(reply) != outHeaderSize && len(reply) != outHeaderSize+6 {
					t.Fatalf("reply % x", reply)
				}
			}
		}
	}
}

func TestAbuse(t *testing.T) {
	virtiotest.Abuse(t, func(t testing.TB) virtio.Device {
		dev, plugin := setup{drain: 1}.newDevice(t, nil)
		var plugins sync.WaitGroup
		for i := range plugin.Lanes() {
			plugins.Go(func() { responder(plugin, i) })
		}
		t.Cleanup(func() { _ = plugin.Break(link.ErrClosed); plugins.Wait() })
		return dev
	})
}
