package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voidbox-run/voidbox/internal/livevm"
	"github.com/voidbox-run/voidbox/internal/taplink"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// netSoak keeps a network plugin busy for a while with all that a guest does, by a wire that is bad half of the time. Every byte that
// moves is compared, the plugin is measured all along, and when all is over it must be what it was before.
func netSoak(ctx context.Context, o options) error {
	if os.Getenv(aloneEnv) == "" {
		return alone(ctx)
	}
	w, err := newWorld(ctx, o.bin)
	if err != nil {
		return err
	}
	piece, err := netPiece(ctx, w, o.length)
	if err := errors.Join(err, w.close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	record, err := loadRecord(o.state)
	if err != nil {
		return err
	}
	record.Pieces = append(record.Pieces, piece)
	if err := record.save(o.state); err != nil {
		return err
	}
	return record.judge(networkSlack)
}

// netPiece works until the time is up, waits until the plugin is at rest again, and returns what was measured.
func netPiece(ctx context.Context, w *world, length time.Duration) (p piece, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var watchers errgroup.Group // of the plugin, until the end
	watchers.Go(func() error {
		defer cancel()
		return taplink.BridgeBy(ctx, w.queue, w.link, &w.wire)
	})
	l := newLoad(w)
	watchers.Go(func() error { return w.network.Watch(ctx, l.heard) })
	defer func() {
		cancel()
		if werr := watchers.Wait(); err == nil && !errors.Is(werr, context.Canceled) {
			err = fmt.Errorf("the bridge, or the watch: %w", werr)
		}
	}()
	select {
	case <-l.watching:
	case <-ctx.Done():
		return p, ctx.Err()
	}
	before, err := w.measure(ctx)
	if err != nil {
		return p, err
	}
	l.end = time.Now().Add(length)
	work, working := errgroup.WithContext(ctx)
	work.Go(func() error { return l.run(working) })
	work.Go(func() error { return w.changeWire(working, l.end) })
	work.Go(func() (err error) { p.Samples, err = w.sample(working, l.end); return err })
	if err := work.Wait(); err != nil {
		stats, serr := w.network.Stats(ctx)
		return p, errors.Join(err, serr, fmt.Errorf("the plugin's counters are %v", stats))
	}
	after, stats, err := w.rest(ctx)
	if err != nil {
		return p, err
	}
	p.Seconds, p.Before, p.After, p.Done = length.Seconds(), &before, &after, l.done.copy()
	return p, l.plausible(stats)
}

// wires come one after another, and again. A third of a piece of 15 minutes has each of them twice.
var wires = []taplink.Impairment{
	{}, {Lost: 10, Seed: 1},
	{}, {Late: 20, Stalled: 5, Seed: 2},
	{}, {Lost: 5, Repeated: 10, Late: 10, Stalled: 5, Seed: 3},
}

const wireTime = 25 * time.Second

func (w *world) changeWire(ctx context.Context, end time.Time) error {
	tick := time.NewTicker(wireTime)
	defer tick.Stop()
	over := time.After(time.Until(end))
	for i := 0; ; i++ {
		w.wire.Become(wires[i%len(wires)])
		select {
		case <-tick.C:
		case <-over:
			w.wire.Become(taplink.Impairment{}) // what is under way gets there soon, or never
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// measure looks at the plugin's process.
func (w *world) measure(ctx context.Context) (m measurement, err error) {
	stats, err := w.network.Stats(ctx)
	if err != nil {
		return m, err
	}
	m.Goroutines, m.LiveHeap = int(stats["runtime.goroutines"]), float64(stats["runtime.heap_live_bytes"])/1024
	m.Footprint, err = livevm.MeasureFootprint(w.plugin.PID(), 0)
	return m, err
}

func (w *world) sample(ctx context.Context, end time.Time) (out []measurement, err error) {
	tick := time.NewTicker(sampleGap)
	defer tick.Stop()
	for time.Now().Before(end) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return out, nil
		}
		m, err := w.measure(ctx)
		if err != nil {
			return out, err
		}
		out = append(out, m)
	}
	return out, nil
}

// restTime is enough for flows of UDP, which end when nobody has used them for two minutes.
const restTime = 3 * time.Minute

// rest waits until the plugin has no flow left, and measures it then.
func (w *world) rest(ctx context.Context) (m measurement, stats map[string]uint64, err error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for late := time.After(restTime); ; {
		if stats, err = w.network.Stats(ctx); err != nil {
			return m, stats, err
		}
		if stats["tcp.flows"]+stats["udp.flows"] == 0 {
			m, err = w.measure(ctx)
			return m, stats, err
		}
		select {
		case <-tick.C:
		case <-late:
			return m, stats, fmt.Errorf("%v after the last connection was closed, %d flows of TCP and %d of UDP are left", restTime, stats["tcp.flows"], stats["udp.flows"])
		case <-ctx.Done():
			return m, stats, ctx.Err()
		}
	}
}

// heard counts events of the plugin.
func (l *load) heard(e network.Event) error {
	switch e.Kind {
	case network.Watching:
		close(l.watching)
	case network.Lost:
		l.done.add("events lost", int64(e.Sent))
	case network.Opened, network.Closed, network.Denied:
		l.done.add("events "+string(e.Kind), 1)
	}
	return nil
}

// plausible holds the plugin's counters against what was done.
func (l *load) plausible(stats map[string]uint64) error {
	var failed error
	must := func(holds bool, format string, args ...any) {
		if !holds {
			failed = errors.Join(failed, fmt.Errorf("counters: "+format, args...))
		}
	}
	done := l.done.copy()
	must(stats["tcp.opened"] == stats["tcp.closed"], "tcp: %d opened, %d closed", stats["tcp.opened"], stats["tcp.closed"])
	must(stats["udp.opened"] == stats["udp.closed"], "udp: %d opened, %d closed", stats["udp.opened"], stats["udp.closed"])
	must(int64(stats["tcp.opened"]) >= done["connections"], "%d connections, of which the plugin knows %d", done["connections"], stats["tcp.opened"])
	must(int64(stats["tcp.sent_bytes"]+stats["tcp.received_bytes"]) >= done["bytes"], "%d bytes came, of which the plugin knows %d",
		done["bytes"], stats["tcp.sent_bytes"]+stats["tcp.received_bytes"])
	must(done["events lost"] > 0 || done["events opened"] == done["events closed"], "events: %d opened, %d closed", done["events opened"], done["events closed"])
	must(2*done["datagrams back"] > done["datagrams"], "of %d datagrams only %d came back", done["datagrams"], done["datagrams back"])
	must(100*done["look-ups in vain"] < done["look-ups"], "of %d look-ups %d were in vain", done["look-ups"], done["look-ups in vain"])
	for _, name := range []string{"malformed", "hardware_address", "checksum", "offload"} {
		must(stats["nic.dropped."+name] == 0, "%d frames of a kernel's are refused: %s", stats["nic.dropped."+name], name)
	}
	for _, name := range []string{"tcp.retransmits", "tcp.resets", "tcp.refused", "tcp.unreachable", "tcp.denied", "udp.dropped.full", "nic.dropped.full"} {
		l.done.add(name, int64(stats[name]))
	}
	return failed
}
