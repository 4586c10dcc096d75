//go:build linux

package net

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// relink makes a new network for the device, of which the driver reads nothing but frames.
func (g *guest) relink() {
	g.t.Helper()
	device, plugin := virtiotest.NewLink(g.t, g.set.terms(), g.dev.Ask())
	g.plugin = plugin
	if err := g.dev.Relink(device); err != nil {
		g.t.Fatal(err)
	}
	g.agreed = g.epoch()
}

func TestCarrierFollowsTheLink(t *testing.T) {
	g := boot(t, setup{})
	if !g.carrier() {
		t.Fatal("no carrier at the start")
	}
	for range 3 {
		g.wantAlive()
		g.plugin.Close()
		g.drv.WaitConfig()
		if g.carrier() {
			t.Fatal("the carrier is up, and the plugin is gone")
		}
		g.wantEvent(false, link.ErrPeerGone)

		// The guest does not hang in what it sends.
		for i := range 2 * ringSize {
			g.pairs[0].send(numbered(i, 1000).packet())
		}
		g.pairs[0].drain()

		g.relink()
		g.wantEvent(true, nil)
		g.drv.WaitConfig()
		if !g.carrier() {
			t.Fatal("no carrier after Relink")
		}
		if g.agreed != link.NetFeatures {
			t.Fatalf("the new plugin was told of offloads %#x", g.agreed)
		}
	}
	g.wantAlive()
	m := g.dev.Metrics()
	if m.TxNoCarrier != 3*2*ringSize || m.LinkDowns != 3 {
		t.Errorf("metrics %+v", m)
	}
}

func TestRelinkOfALivingLink(t *testing.T) {
	g := boot(t, setup{})
	old := g.plugin
	g.relink()
	g.wantEvent(false, link.ErrClosed)
	g.wantEvent(true, nil)
	<-old.Done()
	g.wantAlive()
}

// A link that comes, or goes, while the device is paused is news for the guest when it goes on.
func TestCarrierChangesWhilePaused(t *testing.T) {
	g := boot(t, setup{})
	g.drv.Transport.Pause()
	g.plugin.Close()
	g.wantEvent(false, link.ErrPeerGone)
	g.drv.Transport.Resume()
	g.drv.WaitConfig()
	if g.carrier() {
		t.Fatal("carrier without a link")
	}
	g.drv.Transport.Pause()
	device, plugin := virtiotest.NewLink(t, g.set.terms(), g.dev.Ask())
	g.plugin = plugin
	if err := g.dev.Relink(device); err != nil {
		t.Fatal(err)
	}
	g.drv.Transport.Resume()
	g.epoch()
	g.drv.WaitConfig()
	g.wantAlive()
}

func TestDeviceWithoutALink(t *testing.T) {
	s := setup{}
	dev, err := New(Config{MAC: testMAC, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	if f := dev.Features(); f&uint64(link.NetFeatures) != 0 {
		t.Errorf("features %#x offer offloads that nobody does", f)
	}
	drv := virtiotest.NewMMIODriver(t, dev, virtiotest.NewMemory(t, 1<<20))
	tx := drv.Start(virtiotest.AllFeatures, 16)[transmitQueue(0)]
	if drv.Get(virtiotest.RegConfig+4)>>16 != 0 {
		t.Error("carrier without a link")
	}
	tx.Add(virtiotest.Buffer{Addr: drv.Mem.Alloc(4096), Len: 100})
	tx.Publish()
	tx.Wait()
	device, plugin := virtiotest.NewLink(t, s.terms(), dev.Ask())
	if err := dev.Relink(device); err != nil {
		t.Fatal(err)
	}
	drv.WaitConfig()
	tx.Add(virtiotest.Buffer{Addr: virtiotest.Base, Len: 100})
	tx.Publish()
	g := &guest{t: t, plugin: plugin}
	g.next(0)
}

func TestRelinkRefuses(t *testing.T) {
	g := boot(t, setup{pairs: 2})
	for _, c := range []struct {
		name  string
		terms link.Terms
		ask   link.Ask
	}{
		{"requests", link.Terms{Purpose: link.Requests}, link.Ask{Purpose: link.Requests, Lanes: 2}},
		{"another number of lanes", link.Terms{Purpose: link.Frames, Features: link.NetFeatures}, Ask(1)},
		{"no checksums", link.Terms{Purpose: link.Frames, Features: link.NetFeatures &^ link.FeatureChecksum}, Ask(2)},
		{"no segments", link.Terms{Purpose: link.Frames, Features: link.NetFeatures &^ link.FeatureTSO6}, Ask(2)},
		{"small frames", link.Terms{Purpose: link.Frames, Features: link.NetFeatures, MaxPayload: 9000}, Ask(2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			device, plugin := virtiotest.NewLink(t, c.terms, c.ask)
			if err := g.dev.Relink(device); err == nil {
				t.Error("no error")
			}
			<-plugin.Done() // the link was taken over all the same
			g.t = t
			g.wantAlive()
		})
	}
	device, plugin := virtiotest.NewLink(t, link.Terms{Purpose: link.Frames, Features: transmitOffloads}, Ask(2))
	if err := g.dev.Relink(device); err != nil {
		t.Fatalf("a plugin that has nothing to leave to the guest: %v", err)
	}
	g.t, g.plugin = t, plugin
	if f := g.epoch(); f != transmitOffloads {
		t.Errorf("the plugin was told of offloads %#x", f)
	}
	g.wantAlive()
	_ = g.dev.Close()
	device, _ = virtiotest.NewLink(t, g.set.terms(), Ask(2))
	if err := g.dev.Relink(device); err == nil {
		t.Error("a closed device took a link")
	}
}

// bootTapped is boot over a link whose peer breaks rules.
func bootTapped(t *testing.T) (*guest, *virtiotest.TappedLink) {
	t.Helper()
	s := setup{ringSize: link.MinRing}
	l := virtiotest.NewTappedLink(t, s.terms(), Ask(1))
	g := &guest{t: t, set: s, plugin: l.Plugin, events: make(chan event, 4)}
	var err error
	g.dev, err = New(Config{
		MAC: testMAC, Link: l.Device, OnLink: func(up bool, why error) { g.events <- event{up, why} },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.dev.Close() })
	g.drv = virtiotest.NewMMIODriver(t, g.dev, virtiotest.NewMemory(t, 16<<20))
	g.start()
	return g, l
}

// A plugin that blocks the device in the middle of a kick cannot keep it from being reset.
func TestPluginHoldsUpTheDevice(t *testing.T) {
	g, l := bootTapped(t)
	g.dev.patience = time.Millisecond
	published := l.HoldUp(t, 0)
	g.pairs[0].send(numbered(1, 100).packet())
	for !published() {
		runtime.Gosched()
	}
	g.drv.Reset()
	g.wantEvent(false, link.ErrViolation)
	device, plugin := virtiotest.NewLink(t, g.set.terms(), g.dev.Ask())
	g.plugin = plugin
	if err := g.dev.Relink(device); err != nil {
		t.Fatal(err)
	}
	g.start()
	g.wantAlive()
}

// A plugin that breaks the link's rules takes down the carrier and nothing else.
func TestViolationTakesTheCarrierDown(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong func(l *virtiotest.TappedLink, ring int)
	}{
		{"kind", func(l *virtiotest.TappedLink, ring int) { l.Memory[ring+4] = 99 }},
		{"length", func(l *virtiotest.TappedLink, ring int) { l.Memory[ring+3] = 0xff }},
		{"epoch", func(l *virtiotest.TappedLink, ring int) { l.Memory[ring+11] = 0x7f }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, l := bootTapped(t)
			out := l.Plugin.Lane(0).Out
			buf, err := out.TryReserve(link.KindFrame, 100)
			if err != nil {
				t.Fatal(err)
			}
			clear(buf)
			out.CommitFrame(link.NetHeader{}, 100)
			const control = 4096
			c.wrong(l, control+link.MinRing) // the down ring is behind the up ring
			if err := out.Publish(); err != nil {
				t.Fatal(err)
			}
			g.wantEvent(false, link.ErrViolation)
			g.drv.WaitConfig()
			if g.carrier() {
				t.Error("the carrier is up")
			}
			g.pairs[0].send(numbered(1, 100).packet())
			g.pairs[0].drain()
		})
	}
}

// The network dies again and again while frames go both ways; the guest goes on.
func TestPluginDiesInMidTransfer(t *testing.T) {
	g := boot(t, setup{pairs: 1})
	for range 20 {
		var echo sync.WaitGroup
		plugin, seen := g.plugin, make(chan struct{})
		echo.Go(func() { echoFrames(plugin, 0, 50, seen) })
		for i, left := 0, true; left; i++ {
			g.pairs[0].send(numbered(i, 1514).packet())
			for {
				head, _, ok := g.pairs[0].rx.Reap()
				if !ok {
					break
				}
				delete(g.pairs[0].rxSlot, head)
				g.pairs[0].offer(1)
			}
			select {
			case <-seen:
				left = false
			default:
			}
		}
		echo.Wait()
		plugin.Close()
		g.wantEvent(false, link.ErrPeerGone)
		g.pairs[0].drain()
		g.relink()
		g.wantEvent(true, nil)
	}
	g.pairs[0].send(numbered(1, 100).packet())
	g.next(0)
}

// echoFrames sends the frames of a lane back, until the link is down or n were sent, and closes seen.
func echoFrames(l *link.Link, lane, n int, seen chan<- struct{}) {
	defer close(seen)
	ctx := context.Background()
	in, out := l.Lane(lane).In, l.Lane(lane).Out
	for rec := (link.Record{}); n != 0; {
		ok, err := in.Next(&rec)
		if err == nil && !ok {
			if err = out.Publish(); err == nil {
				err = in.Wait(ctx)
			}
		}
		if err != nil {
			return
		}
		if !ok || rec.Kind != link.KindFrame {
			continue
		}
		buf, err := out.TryReserve(link.KindFrame, len(rec.Payload))
		if errors.Is(err, link.ErrFull) {
			if err = out.Wait(ctx, link.KindFrame, len(rec.Payload)); err == nil {
				buf, err = out.TryReserve(link.KindFrame, len(rec.Payload))
			}
		}
		if err != nil {
			return
		}
		copy(buf, rec.Payload)
		out.CommitFrame(rec.Net, len(rec.Payload))
		n--
	}
}
