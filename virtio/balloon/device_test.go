//go:build linux

package balloon_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/balloon"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	inflateq   = 0
	deflateq   = 1
	statsq     = 2
	reportingq = 4
	page       = balloon.PageSize

	memorySize = 4 << 20
	firstPage  = virtiotest.Base / page
	lastPage   = firstPage + memorySize/page - 1
)

type span struct{ addr, n uint64 }

// host records what is given back, and fails where it should never have been.
type host struct {
	t    testing.TB
	mu   sync.Mutex
	got  []span
	fail error
	size uint64 // of guest memory; 0 means memorySize
}

func (h *host) Discard(addr, n uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if addr%page != 0 || n%page != 0 || n == 0 || addr < virtiotest.Base || addr+n > virtiotest.Base+cmp.Or(h.size, memorySize) {
		h.t.Errorf("%#x bytes at %#x are given back", n, addr)
	}
	if len(h.got) < 1000 {
		h.got = append(h.got, span{addr, n})
	}
	return h.fail
}

// take returns what was given back since the last time.
func (h *host) take() []span {
	h.mu.Lock()
	defer h.mu.Unlock()
	got := h.got
	h.got = nil
	return got
}

func newBalloon(t testing.TB, h *host) *balloon.Device {
	t.Helper()
	h.t = t
	d, err := balloon.New(balloon.Config{Memory: h, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newDevice(t testing.TB) virtio.Device { return newBalloon(t, &host{}) }

func TestAbuse(t *testing.T) { virtiotest.Abuse(t, newDevice) }

func FuzzBalloon(f *testing.F) {
	pages := virtiotest.U32(firstPage, firstPage+1, lastPage, lastPage+1, 0, 1<<32-1)
	virtiotest.AddScripts(f, inflateq, pages)
	virtiotest.AddScripts(f, deflateq, pages)
	virtiotest.AddScripts(f, statsq, append([]byte{4, 0}, virtiotest.U64(1<<20)...))
	virtiotest.AddScripts(f, reportingq, nil, []byte{1})
	f.Fuzz(func(t *testing.T, script []byte) {
		virtiotest.Play(t, func(t testing.TB) virtio.Device { return newBalloon(t, &host{size: virtiotest.ScriptMemory}) }, script, nil)
	})
}

type guest struct {
	*virtiotest.MMIODriver
	host *host
	dev  *balloon.Device
	data uint64
}

func start(t testing.TB, features uint64) *guest {
	t.Helper()
	return startOn(t, &host{}, features)
}

func startOn(t testing.TB, h *host, features uint64) *guest {
	t.Helper()
	g := &guest{host: h}
	g.dev = newBalloon(t, g.host)
	g.MMIODriver = virtiotest.NewMMIODriver(t, g.dev, virtiotest.NewMemory(t, memorySize))
	g.Start(features, 16)
	g.data = g.Mem.Alloc(1 << 16)
	return g
}

// send puts payload on a queue and waits for the answer.
func (g *guest) send(queue int, payload []byte) {
	copy(g.Mem.At(g.data, 1<<16), payload)
	g.Rings[queue].Add(virtiotest.Buffer{Addr: g.data, Len: len(payload)})
	g.Rings[queue].Publish()
	g.Rings[queue].Wait()
}

func TestInflate(t *testing.T) {
	g := start(t, virtiotest.AllFeatures)
	at := func(n uint64) uint64 { return (firstPage + n) * page }
	for name, c := range map[string]struct {
		pages []uint32
		want  []span
	}{
		"one":            {[]uint32{firstPage + 5}, []span{{at(5), page}}},
		"ascending":      {[]uint32{firstPage + 5, firstPage + 6, firstPage + 7}, []span{{at(5), 3 * page}}},
		"descending":     {[]uint32{firstPage + 7, firstPage + 6, firstPage + 5}, []span{{at(5), 3 * page}}},
		"apart":          {[]uint32{firstPage + 5, firstPage + 7}, []span{{at(5), page}, {at(7), page}}},
		"twice":          {[]uint32{firstPage + 5, firstPage + 5}, []span{{at(5), page}, {at(5), page}}},
		"last":           {[]uint32{lastPage, lastPage + 1}, []span{{lastPage * page, page}}},
		"outside":        {[]uint32{0, firstPage - 1, lastPage + 1, 1 << 31, 1<<32 - 1}, nil},
		"around outside": {[]uint32{firstPage, firstPage - 1, firstPage + 1}, []span{{at(0), 2 * page}}},
	} {
		t.Run(name, func(t *testing.T) {
			g.send(inflateq, virtiotest.U32(c.pages...))
			if got := g.host.take(); !slices.Equal(got, c.want) {
				t.Errorf("given back %x, want %x", got, c.want)
			}
		})
	}
	t.Run("half a number", func(t *testing.T) {
		g.send(inflateq, append(virtiotest.U32(firstPage+5), 1, 2, 3))
		if got := g.host.take(); !slices.Equal(got, []span{{at(5), page}}) {
			t.Errorf("given back %x", got)
		}
	})
	t.Run("deflate", func(t *testing.T) {
		g.send(deflateq, virtiotest.U32(firstPage+5))
		if got := g.host.take(); got != nil {
			t.Errorf("given back %x", got)
		}
	})
}

func TestInflateIsBounded(t *testing.T) {
	g := start(t, virtiotest.AllFeatures)
	var pages []uint32
	for range 5000 {
		pages = append(pages, firstPage)
	}
	g.send(inflateq, virtiotest.U32(pages...))
	if n := g.dev.Discarded(); n != 4096*page {
		t.Errorf("%d pages of one request are given back", n/page)
	}
}

// The numbers of queues changed in Linux 6.11, and without statistics there is one less.
func TestFreePageReporting(t *testing.T) {
	for name, c := range map[string]struct {
		features uint64
		queue    int
	}{
		"by the specification": {virtiotest.AllFeatures, 4},
		"old Linux":            {virtiotest.AllFeatures, 3},
		"without statistics":   {virtiotest.AllFeatures &^ (1 << 1), 2},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, c.features)
			r := g.Rings[c.queue]
			whole := g.Mem.Alloc(8 * page)
			r.Add(
				virtiotest.Buffer{Addr: whole, Len: 2 * page, Write: true},
				virtiotest.Buffer{Addr: whole + 3*page + 1, Len: 2*page - 1, Write: true},
				virtiotest.Buffer{Addr: whole + 6*page + 1, Len: page, Write: true},
				virtiotest.Buffer{Addr: whole + 6*page, Len: page - 1, Write: true},
			)
			r.Publish()
			if _, n := r.Wait(); n != 0 {
				t.Errorf("%d bytes are said to be written", n)
			}
			want := []span{{whole, 2 * page}, {whole + 4*page, page}}
			if got := g.host.take(); !slices.Equal(got, want) {
				t.Errorf("given back %x, want %x", got, want)
			}
			if n := g.dev.Discarded(); n != 3*page {
				t.Errorf("%d bytes are given back", n)
			}
		})
	}
}

func TestReportingHasToBeNegotiated(t *testing.T) {
	g := start(t, virtiotest.AllFeatures&^(1<<5))
	r := g.Rings[reportingq]
	r.Add(virtiotest.Buffer{Addr: g.data, Len: page, Write: true})
	r.Publish()
	r.Notify()
	g.send(deflateq, virtiotest.U32(0))
	if got := g.host.take(); got != nil || r.UsedIndex() != 0 {
		t.Errorf("given back %x", got)
	}
}

func TestTarget(t *testing.T) {
	g := start(t, virtiotest.AllFeatures)
	if err := g.dev.SetTarget(1 << 20); err != nil {
		t.Fatal(err)
	}
	g.WaitConfig()
	if n := g.Get(virtiotest.RegConfig); n != 256 {
		t.Errorf("the guest is asked for %d pages", n)
	}
	g.Set(virtiotest.RegConfig+4, 100)
	g.Set(virtiotest.RegConfig, 7) // not the driver's to write
	if actual, target := g.dev.Size(); actual != 100*page || target != 1<<20 {
		t.Errorf("size %d of %d", actual, target)
	}
	for _, bad := range []uint64{1, page + 1, 1 << 44, 1<<64 - 1} {
		if g.dev.SetTarget(bad) == nil {
			t.Errorf("a target of %d bytes is taken", bad)
		}
	}
	g.Reset()
	if actual, target := g.dev.Size(); actual != 0 || target != 1<<20 {
		t.Errorf("size %d of %d after a reset", actual, target)
	}
}

func TestDiscardFails(t *testing.T) {
	g := startOn(t, &host{fail: errors.New("no")}, virtiotest.AllFeatures)
	g.send(inflateq, virtiotest.U32(firstPage))
	if n := g.dev.Discarded(); n != 0 {
		t.Errorf("%d bytes count as given back", n)
	}
	if s := g.Get(virtiotest.RegStatus); s&virtiotest.StatusNeedsReset != 0 {
		t.Error("the guest is blamed")
	}
}

// offerStats is what Linux does when it starts and whenever its buffer comes back.
func (g *guest) offerStats(free uint64) {
	payload := []byte{4, 0}
	payload = binary.LittleEndian.AppendUint64(payload, free)
	payload = append(payload, 99, 0, 1, 1, 1, 1, 1, 1, 1, 1) // a tag of the future
	payload = append(payload, 5, 0, 1)                       // cut off
	copy(g.Mem.At(g.data, len(payload)), payload)
	g.Rings[statsq].Add(virtiotest.Buffer{Addr: g.data, Len: len(payload)})
	g.Rings[statsq].Publish()
}

// ask calls Stats, answers as the driver, and returns what came.
func (g *guest) ask(t *testing.T, answer uint64) balloon.Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), virtiotest.Patience)
	defer cancel()
	type result struct {
		stats balloon.Stats
		err   error
	}
	got := make(chan result, 1)
	go func() {
		s, err := g.dev.Stats(ctx)
		got <- result{s, err}
	}()
	g.Rings[statsq].Wait() // the device wants new ones
	g.offerStats(answer)
	r := <-got
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.stats
}

// firstStats offers the first buffer, asks for statistics at the same time, and returns what came once the device has read them:
// until then a question is answered by that first buffer.
func (g *guest) firstStats(t *testing.T, free uint64) balloon.Stats {
	got := make(chan balloon.Stats, 1)
	go func() {
		s, _ := g.dev.Stats(t.Context())
		got <- s
	}()
	g.offerStats(free)
	for {
		select {
		case s := <-got:
			return s
		default:
		}
		if _, _, ok := g.Rings[statsq].Reap(); ok { // it was asked after the first report
			g.offerStats(free)
		}
		runtime.Gosched()
	}
}

func TestStats(t *testing.T) {
	g := start(t, virtiotest.AllFeatures)
	g.firstStats(t, 1)
	for i := range uint64(5) {
		if s := g.ask(t, 100+i); s != (balloon.Stats{Free: 100 + i}) {
			t.Errorf("statistics %+v", s)
		}
	}
	// What was said before a pause is not news after it, neither here nor in another process.
	g.Transport.Pause()
	g.Transport.Resume()
	if s := g.ask(t, 200); s.Free != 200 {
		t.Errorf("statistics %+v after a pause", s)
	}
	moved := newBalloon(t, g.host)
	g.MMIODriver, g.dev = g.Move(moved), moved
	if s := g.ask(t, 300); s.Free != 300 {
		t.Errorf("statistics %+v after a move", s)
	}
}

// TestLatestStats: who does not want to wait gets what was said last, and causes the next report.
func TestLatestStats(t *testing.T) {
	g := start(t, virtiotest.AllFeatures)
	if s, ok := g.dev.LatestStats(); ok {
		t.Errorf("a guest that has said nothing says %+v", s)
	}
	g.firstStats(t, 1)
	if s, ok := g.dev.LatestStats(); !ok || s.Free != 1 {
		t.Errorf("LatestStats = %+v, %v", s, ok)
	}
	g.Rings[statsq].Wait() // it was asked
	g.offerStats(2)
	for {
		if s, _ := g.dev.LatestStats(); s.Free == 2 {
			break
		}
		runtime.Gosched()
	}
}

func TestStatsOfNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := start(t, virtiotest.AllFeatures)
	if _, err := g.dev.Stats(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stats = %v", err)
	}
	// The first report answers who asked before there was a driver.
	if s := g.firstStats(t, 7); s.Free != 7 {
		t.Errorf("Stats = %+v", s)
	}
}

func TestState(t *testing.T) {
	g := start(t, virtiotest.AllFeatures)
	if err := g.dev.SetTarget(1 << 20); err != nil {
		t.Fatal(err)
	}
	g.Set(virtiotest.RegConfig+4, 100)
	moved := newBalloon(t, g.host)
	g.MMIODriver = g.Move(moved)
	if actual, target := moved.Size(); actual != 100*page || target != 1<<20 {
		t.Errorf("size %d of %d after a move", actual, target)
	}
	g.send(inflateq, virtiotest.U32(firstPage))
	if got := g.host.take(); len(got) != 1 {
		t.Errorf("given back %x after a move", got)
	}
	for _, bad := range []string{"", "null", `{"version":0,"data":{}}`, `{"version":1,"data":{"target":-1}}`} {
		if err := newBalloon(t, g.host).LoadState([]byte(bad)); err == nil {
			t.Errorf("state %q is taken", bad)
		}
	}
}
