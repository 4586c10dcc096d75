package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voidbox-run/voidbox/sdk/network"
)

// tally counts by name.
type tally struct {
	mu    sync.Mutex
	count map[string]int64
}

func (t *tally) add(name string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == nil {
		t.count = map[string]int64{}
	}
	t.count[name] += n
}

func (t *tally) copy() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.count)
}

// load is the work of a piece.
type load struct {
	w       *world
	end     time.Time
	done    tally
	targets []netip.AddrPort // that the guest reaches, over TCP

	watching chan struct{} // closed when the plugin's events come
}

func newLoad(w *world) *load {
	return &load{w: w, watching: make(chan struct{}), targets: []netip.AddrPort{
		netip.AddrPortFrom(hostIP, port), netip.AddrPortFrom(hostIP6, port),
		netip.AddrPortFrom(gatewayIP.Addr(), servicePort), netip.AddrPortFrom(gatewayIP.Addr(), unixPort),
	}}
}

// A chore is done again and again by some workers, each of which rests in between for up to twice its pause.
type chore struct {
	name    string
	workers int
	pause   time.Duration
	do      func(*load, context.Context, *rand.Rand) error
}

var chores = []chore{
	{"short connection", 6, 10 * time.Millisecond, (*load).connect},
	{"connection to a published port", 2, 10 * time.Millisecond, (*load).call},
	{"long stream", 3, 0, (*load).stream},
	{"long stream to a published port", 1, 0, (*load).streamIn},
	{"refused connection", 1, 100 * time.Millisecond, (*load).refused},
	{"denied connection", 1, 100 * time.Millisecond, (*load).denied},
	{"black hole", 4, 500 * time.Millisecond, (*load).blackHole},
	{"datagrams", 2, 500 * time.Millisecond, (*load).datagrams},
	{"datagrams to a published port", 1, 500 * time.Millisecond, (*load).datagramsIn},
	{"datagram to a closed port", 1, time.Second, (*load).closedPort},
	{"look-up", 3, 10 * time.Millisecond, (*load).lookUp},
	{"page", 2, 100 * time.Millisecond, (*load).page},
	{"policy", 1, 10 * time.Second, (*load).updatePolicy},
	{"capture", 1, 20 * time.Second, (*load).capture},
}

// run works until the time is up.
func (l *load) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	stop, err := l.serve(ctx, group)
	if err != nil {
		return errors.Join(err, group.Wait())
	}
	clients, ctx := errgroup.WithContext(ctx)
	for _, c := range chores {
		for i := range c.workers {
			rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(i)))
			clients.Go(func() error {
				for time.Now().Before(l.end) && ctx.Err() == nil {
					if err := c.do(l, ctx, rng); err != nil && ctx.Err() == nil {
						stop() // whatever the servers say now is not the reason
						return fmt.Errorf("%s: %w", c.name, err)
					}
					l.rest(ctx, rng, c.pause)
				}
				return nil
			})
		}
	}
	err = clients.Wait()
	stop()
	return errors.Join(err, group.Wait())
}

func (l *load) rest(ctx context.Context, rng *rand.Rand, pause time.Duration) {
	if pause == 0 {
		return
	}
	select {
	case <-time.After(time.Duration(rng.Int64N(int64(2 * pause)))):
	case <-ctx.Done():
	}
}

func (l *load) target(rng *rand.Rand) netip.AddrPort { return l.targets[rng.IntN(len(l.targets))] }

// dial is the guest's, for one of its connections.
func (l *load) dial(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	conn, err := l.w.guestDials(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

func (l *load) connect(ctx context.Context, rng *rand.Rand) error {
	to := l.target(rng)
	conn, err := l.dial(ctx, to)
	if err != nil {
		return err
	}
	o := newOrder(rng)
	if to.Port() == unixPort && o.Talk == talkServerResets { // unix sockets know no reset
		o.Talk = talkBoth
	}
	return l.ask(ctx, conn, to, o)
}

func (l *load) call(ctx context.Context, rng *rand.Rand) error {
	conn, err := net.Dial("tcp", l.w.out[0].String())
	if err != nil {
		return err
	}
	return l.ask(ctx, conn.(*net.TCPConn), l.w.out[0], newOrder(rng))
}

// longTime is how long a long stream is, and longRate how quick.
const (
	longTime = 4 * time.Minute
	longRate = 8 << 20
)

func (l *load) longOrder(rng *rand.Rand) order {
	until := time.Now().Add(longTime)
	if until.After(l.end) {
		until = l.end
	}
	return order{Up: 1 << 50, Down: 1 << 50, Rate: longRate, Until: until.UnixNano(), Seed: [2]seed{newSeed(rng), newSeed(rng)}}
}

func (l *load) stream(ctx context.Context, rng *rand.Rand) error {
	to := l.target(rng)
	conn, err := l.dial(ctx, to)
	if err != nil {
		return err
	}
	return l.ask(ctx, conn, to, l.longOrder(rng))
}

func (l *load) streamIn(ctx context.Context, rng *rand.Rand) error {
	conn, err := net.Dial("tcp", l.w.out[0].String())
	if err != nil {
		return err
	}
	return l.ask(ctx, conn.(*net.TCPConn), l.w.out[0], l.longOrder(rng))
}

// ask has a connection go as ordered.
func (l *load) ask(ctx context.Context, conn *net.TCPConn, to netip.AddrPort, o order) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	n, err := askFor(patient{conn}, o)
	l.done.add("connections", 1)
	l.done.add("bytes", n)
	if err != nil {
		return fmt.Errorf("talk %d of %d and %d bytes with %v: %w", o.Talk, o.Up, o.Down, to, err)
	}
	return nil
}

func (l *load) refused(ctx context.Context, rng *rand.Rand) error {
	to := []netip.AddrPort{netip.AddrPortFrom(hostIP, closedPort), netip.AddrPortFrom(hostIP6, closedPort)}[rng.IntN(2)]
	return l.fails(ctx, "refused", to, syscall.ECONNREFUSED)
}

func (l *load) denied(ctx context.Context, _ *rand.Rand) error {
	return l.fails(ctx, "denied", netip.AddrPortFrom(deniedIP, port), syscall.ECONNREFUSED)
}

func (l *load) fails(ctx context.Context, what string, to netip.AddrPort, want error) error {
	conn, err := l.dial(ctx, to)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("%v: %w, want %w", to, err, want)
	}
	l.done.add(what, 1)
	return nil
}

// blackHole dials where nobody is. Most lose patience before the plugin does.
func (l *load) blackHole(ctx context.Context, rng *rand.Rand) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rng.Int64N(int64(15*time.Second))))
	defer cancel()
	conn, err := l.dial(ctx, netip.AddrPortFrom(nowhere, uint16(1+rng.IntN(60000))))
	if err == nil {
		_ = conn.Close()
		return errors.New("somebody is there")
	}
	l.done.add("black holes", 1)
	return nil
}

// updatePolicy gives the plugin the policy that it has.
func (l *load) updatePolicy(ctx context.Context, _ *rand.Rand) error {
	reset, err := l.w.network.UpdatePolicy(ctx, l.w.spec.Policy)
	if err == nil && reset > 0 {
		err = fmt.Errorf("the same policy as before has reset %d flows", reset)
	}
	l.done.add("policies", 1)
	return err
}

// capture watches the guest for a while.
func (l *load) capture(ctx context.Context, rng *rand.Rand) error {
	ctx, cancel := context.WithCancel(ctx) // a deadline is one of the plugin's, too, and which ends first is chance
	defer time.AfterFunc(time.Duration(rng.Int64N(int64(4*time.Second))), cancel).Stop()
	defer cancel()
	var size counter
	err := l.w.network.Capture(ctx, network.Capture{SnapLength: rng.IntN(200), MaxBytes: 1 << 20}, &size)
	if ctx.Err() != nil {
		err = nil
	}
	l.done.add("captured bytes", int64(size))
	return err
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}
