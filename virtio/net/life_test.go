//go:build linux

package net

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// What the network sent to a driver is not for the one after it.
func TestResetDropsFramesUnderWay(t *testing.T) {
	g := boot(t, setup{rxBufs: -1})
	g.deliver(0, numbered(1, 100), numbered(2, 100))
	g.pairs[0].send(numbered(3, 100).packet())
	g.pairs[0].drain()
	g.drv.Reset()
	g.deliver(0, numbered(4, 100)) // nobody is there
	g.set.rxBufs = 8
	g.set.without = uint64(link.FeatureTSO4)
	wantFrame(t, g.next(0), numbered(3, 100))
	g.start()
	if want := link.NetFeatures &^ link.FeatureTSO4; g.agreed != want {
		t.Errorf("the plugin was told of offloads %#x, want %#x", g.agreed, want)
	}
	g.wantAlive()
}

// Resets and pauses at any moment of a busy life do no harm.
func TestResetsUnderTraffic(t *testing.T) {
	g := boot(t, setup{})
	done := make(chan struct{})
	plugin := g.plugin
	go echoFrames(plugin, 0, -1, done)
	defer func() { _ = plugin.Break(link.ErrClosed); <-done }()
	p := g.pairs[0]
	for i := range 50 {
		for j := range 10 + i {
			if !p.add(numbered(j, 1514).packet()) {
				break
			}
		}
		p.tx.Publish()
		if i%2 == 0 {
			g.drv.Transport.Pause()
			g.drv.Transport.Resume()
		}
		g.restart()
	}
	// The last epoch works.
	for i := range 100 {
		p.send(numbered(i, 200).packet())
		wantFrame(t, p.receive(), numbered(i, 200))
	}
}

// restart is start while somebody else reads what the plugin gets.
func (g *guest) restart() {
	g.t.Helper()
	g.drv.Start(virtiotest.AllFeatures, ringSize)
	for _, p := range g.pairs {
		p.rxSlot, p.txSlot, p.fill, p.txFree = make(map[uint16]int), make(map[uint16]int), 0, p.txFree[:0]
		for i := range ringSize {
			p.txFree = append(p.txFree, i)
		}
		p.offer(ringSize)
	}
}

// A pause loses no frame, reorders none and repeats none.
func TestPausesLoseNothing(t *testing.T) {
	g := boot(t, setup{ringSize: link.MinRing})
	done := make(chan struct{})
	plugin := g.plugin
	go echoFrames(plugin, 0, -1, done)
	defer func() { _ = plugin.Break(link.ErrClosed); <-done }()
	var pauses sync.WaitGroup
	stop := make(chan struct{})
	pauses.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				g.drv.Transport.Pause()
				g.drv.Transport.Resume()
			}
		}
	})
	defer func() { close(stop); pauses.Wait() }()
	p := g.pairs[0]
	const count, ahead = 1000, 32
	for sent, got := 0, 0; got < count; {
		if sent < count && sent-got < ahead {
			p.send(numbered(sent, 1514).packet())
			sent++
			continue
		}
		wantFrame(t, p.receive(), numbered(got, 1514))
		got++
	}
}

// command sends one to the control queue and returns the answer.
func (g *guest) command(queue int, command []byte) byte {
	g.t.Helper()
	ring := g.drv.Rings[queue]
	at := g.drv.Mem.Alloc(4096)
	copy(g.drv.Mem.At(at, len(command)), command)
	answer := g.drv.Mem.At(at+2048, 1)
	answer[0] = 0xff
	ring.Add(virtiotest.Buffer{Addr: at, Len: len(command)}, virtiotest.Buffer{Addr: at + 2048, Len: 1, Write: true})
	ring.Publish()
	if _, n := ring.Wait(); n != 1 {
		g.t.Fatalf("an answer of %d bytes", n)
	}
	return answer[0]
}

func pairsSet(n uint16) []byte {
	return binary.LittleEndian.AppendUint16([]byte{classMultiple, commandPairsSet}, n)
}

func TestQueuePairs(t *testing.T) {
	g := boot(t, setup{pairs: 3})
	control := 2 * 3
	if n := g.drv.Get(virtiotest.RegConfig+8) & 0xffff; n != 3 {
		t.Errorf("the configuration space says %d pairs", n)
	}
	// One pair is in use at first. A lane that is not drops what the plugin should not have sent there.
	g.deliver(1, numbered(1, 100))
	g.deliver(2, numbered(2, 100))
	g.wantAlive()
	for _, c := range []struct {
		name    string
		command []byte
		want    byte
	}{
		{"none", pairsSet(0), answerError},
		{"too many", pairsSet(4), answerError},
		{"far too many", pairsSet(0x8000), answerError},
		{"another class", []byte{0, 0, 1, 0}, answerError},
		{"another command", []byte{classMultiple, 1, 1, 0}, answerError},
		{"no number", []byte{classMultiple, 0, 1}, answerError},
		{"three", pairsSet(3), answerOK},
	} {
		if got := g.command(control, c.command); got != c.want {
			t.Errorf("%s: answer %d, want %d", c.name, got, c.want)
		}
	}
	for i, p := range g.pairs {
		f := numbered(i, 500)
		p.send(f.packet())
		wantFrame(t, g.next(i), f)
		g.deliver(i, f)
		wantFrame(t, p.receive(), f)
	}
	// A lane that waits for buffers lets go when its pair is no longer used.
	for range ringSize {
		g.deliver(2, numbered(7, 100))
		g.pairs[2].take()
	}
	g.deliver(2, numbered(8, 100))
	if got := g.command(control, pairsSet(1)); got != answerOK {
		t.Fatalf("answer %d", got)
	}
	g.pairs[2].offer(1)
	g.deliver(2, numbered(9, 100))
	if got := g.command(control, pairsSet(3)); got != answerOK {
		t.Fatalf("answer %d", got)
	}
	g.wantAlive()
	m := g.dev.Metrics()
	if m.RxInactive < 2 {
		t.Errorf("metrics %+v", m)
	}

	// A new driver begins with one pair again.
	g.start()
	g.deliver(1, numbered(1, 100))
	g.wantAlive()
	for g.dev.Metrics().RxInactive == m.RxInactive {
		g.wantAlive() // until the other lane has had its turn
	}
}

// A driver without VIRTIO_NET_F_MQ looks for the control queue behind the first pair.
func TestControlQueueWithoutMultiqueue(t *testing.T) {
	g := boot(t, setup{pairs: 2, without: featureMultiple, rxBufs: -1})
	g.pairs[0].offer(ringSize)
	if got := g.command(2, pairsSet(1)); got != answerOK {
		t.Errorf("answer %d", got)
	}
	if got := g.command(2, pairsSet(2)); got != answerError {
		t.Errorf("answer %d to a second pair, which was not negotiated", got)
	}
	g.wantAlive()
}

// Who lends queues without a control queue, as vhost-user does, has all of them used.
func TestPairsWithoutAControlQueue(t *testing.T) {
	g := boot(t, setup{pairs: 2, without: featureControl})
	f := numbered(1, 100)
	g.deliver(1, f)
	wantFrame(t, g.pairs[1].receive(), f)
}

func TestSaveAndLoad(t *testing.T) {
	g := boot(t, setup{pairs: 2})
	if got := g.command(4, pairsSet(2)); got != answerOK {
		t.Fatalf("answer %d", got)
	}
	g.deliver(1, numbered(1, 100))
	g.pairs[1].receive()
	// Another device, over another link, takes the guest over where it stands.
	dev, plugin := g.set.newDevice(t, nil)
	g.drv = g.drv.Move(dev)
	g.dev, g.plugin = dev, plugin
	if f := g.epoch(); f != link.NetFeatures {
		t.Errorf("the new plugin was told of offloads %#x", f)
	}
	g.wantAlive()
	f := numbered(9, 100)
	g.deliver(1, f)
	wantFrame(t, g.pairs[1].receive(), f)
}

func TestLoadRefuses(t *testing.T) {
	dev, _ := setup{pairs: 2}.newDevice(t, nil)
	good, err := dev.SaveState()
	if err != nil {
		t.Fatal(err)
	}
	for _, pairs := range []int{0, -1, 3, 1 << 40} {
		bad, err := virtio.EncodeState(stateVersion, state{Pairs: pairs})
		if err != nil {
			t.Fatal(err)
		}
		if err := dev.LoadState(bad); !errors.Is(err, virtio.ErrState) {
			t.Errorf("%d pairs: error %v", pairs, err)
		}
	}
	if err := dev.LoadState(good); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"no MAC", Config{}},
		{"a group's MAC", Config{MAC: [6]byte{1}}},
		{"MTU of 67", Config{MAC: testMAC, MTU: 67}},
		{"MTU of 65536", Config{MAC: testMAC, MTU: 65536}},
		{"33 pairs", Config{MAC: testMAC, Pairs: 33}},
		{"a link with too few lanes", Config{MAC: testMAC, Pairs: 2}},
		{"a link of small frames", Config{MAC: testMAC, MTU: 65535}},
	} {
		t.Run(c.name, func(t *testing.T) {
			terms := link.Terms{Purpose: link.Frames, MaxPayload: 9000}
			device, plugin := virtiotest.NewLink(t, terms, Ask(1))
			c.cfg.Link, c.cfg.Logger = device, slog.New(slog.DiscardHandler)
			if _, err := New(c.cfg); err == nil {
				t.Error("no error")
			}
			<-plugin.Done() // the link was taken over all the same
		})
	}
}

func TestConfigurationSpace(t *testing.T) {
	dev, _ := setup{mtu: 9000}.newDevice(t, nil)
	want := []byte{0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 1, 0, 0x28, 0x23, 0, 0}
	for offset := range len(want) {
		got := make([]byte, len(want)-offset)
		dev.ReadConfig(uint32(offset), got)
		if string(got) != string(want[offset:]) {
			t.Errorf("at %d: % x, want % x", offset, got, want[offset:])
		}
	}
	far := []byte{1}
	dev.ReadConfig(1<<32-1, far)
	if far[0] != 0 {
		t.Error("there is something behind the end")
	}
}
