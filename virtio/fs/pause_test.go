//go:build linux

package fs

import (
	"encoding/binary"
	"errors"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// Stop waits for replies that come.
func TestPauseWaitsForReplies(t *testing.T) {
	g := boot(t, setup{drain: never})
	messages, heads, tags := g.stuck()
	paused := make(chan struct{})
	go func() {
		defer close(paused)
		g.drv.Transport.Pause()
	}()
	for i, q := range g.queues {
		g.answer(i, tags[i], replyTo(messages[i], 0, "at last"))
		q.want(heads[i], replyTo(messages[i], 0, "at last"))
	}
	<-paused
	g.drv.Transport.Resume()
	g.wantAlive()
}

// A request that is not answered in time goes on after the pause, whether its reply comes before or after the end of that.
func TestRequestsSurviveAPause(t *testing.T) {
	g := boot(t, setup{drain: 1})
	messages, heads, tags := g.stuck()
	for range 3 {
		g.drv.Transport.Pause()
		for _, q := range g.queues {
			if _, _, ok := q.ring.Reap(); ok {
				t.Fatal("a request was answered, and nobody did")
			}
		}
		g.drv.Transport.Resume()
	}
	g.drv.Transport.Pause()
	g.answer(0, tags[0], replyTo(messages[0], 0, "while paused"))
	g.drv.Transport.Resume()
	g.queues[0].want(heads[0], replyTo(messages[0], 0, "while paused"))
	g.answer(1, tags[1], replyTo(messages[1], 0, "after it"))
	g.queues[1].want(heads[1], replyTo(messages[1], 0, "after it"))
	g.wantAlive()
}

func TestPluginDiesDuringAPause(t *testing.T) {
	g := boot(t, setup{drain: 1})
	messages, heads, _ := g.stuck()
	g.drv.Transport.Pause()
	g.plugin.Close()
	g.wantEvent(false, link.ErrPeerGone)
	g.drv.Transport.Resume()
	g.wantEIO(messages, heads)

	g.relink()
	messages, heads, _ = g.stuck()
	g.drv.Transport.Pause()
	g.relink()
	g.drv.Transport.Resume()
	g.wantEIO(messages, heads)
	g.wantAlive()
}

// A guest that changes a chain while the device keeps it breaks its queue.
func TestChainThatChangesDuringAPause(t *testing.T) {
	g := boot(t, setup{drain: 1})
	_, heads, _ := g.stuck()
	g.drv.Transport.Pause()
	g.queues[1].ring.SetDescriptor(int(heads[1]), 0, 0, 0, 0)
	g.drv.Transport.Resume()
	g.drv.WaitConfig()
	if !g.needsReset() {
		t.Fatal("the queue is not broken")
	}
	g.start()
	g.wantAlive()
}

// A reply that no longer fits, since the guest has cut its chain during a pause, becomes EIO.
func TestChainThatShrinksDuringAPause(t *testing.T) {
	g := boot(t, setup{drain: 1})
	m := g.request(opRead, "x")
	head := g.queues[1].send(m, 64)
	tag := g.wantRecord(1, link.KindRequest, m).Tag
	g.drv.Transport.Pause()
	at := g.queues[1].in(g.queues[1].slots[head])
	desc := g.drv.Mem.At(g.queues[1].ring.Desc+16*uint64(head), 16)
	next := binary.LittleEndian.Uint16(desc[14:])
	g.queues[1].ring.SetDescriptor(int(next), at+inRoom, 16, virtiotest.FlagWrite, 0)
	g.drv.Transport.Resume()
	g.answer(1, tag, replyTo(m, 0, "does not fit"))
	g.queues[1].want(head, replyTo(m, syscall.EIO, ""))
	g.wantAlive()
}

// Another device, which knows nothing of the requests' link, fails them and goes on.
func TestSaveAndLoad(t *testing.T) {
	g := boot(t, setup{queues: 2, drain: 1})
	g.wantAlive()
	messages, heads, _ := g.stuck()
	done := g.request(opRead, "answered")
	q := g.queues[1]
	head := q.send(done, 64)
	g.answer(1, g.wantRecord(1, link.KindRequest, done).Tag, replyTo(done, 0, ""))
	q.want(head, replyTo(done, 0, ""))
	for range 3 {
		g.dev, g.plugin = g.set.newDevice(t, nil)
		g.drv = g.drv.Move(g.dev)
		for i, q := range g.queues {
			q.want(heads[i], replyTo(messages[i], syscall.EIO, ""))
		}
		g.wantAlive()
		messages, heads, _ = g.stuck()
	}
	// Saved again before it could fail them.
	g.drv.Transport.Pause()
	state, err := g.dev.SaveState()
	if err != nil {
		t.Fatal(err)
	}
	other, _ := g.set.newDevice(t, nil)
	if err := other.LoadState(state); err != nil {
		t.Fatal(err)
	}
	if again, err := other.SaveState(); err != nil || string(again) != string(state) {
		t.Errorf("saved again: %s, %v; want %s", again, err, state)
	}
}

func TestLoadRefuses(t *testing.T) {
	dev, _ := setup{}.newDevice(t, nil)
	for name, s := range map[string]state{
		"no queues":          {},
		"too many queues":    {Queues: make([]savedRequests, 3)},
		"heads alone":        {Queues: []savedRequests{{Heads: []uint16{1}}, {}}},
		"the same one twice": {Queues: []savedRequests{{}, {Heads: []uint16{1, 1}, Uniques: []uint64{1, 2}}}},
	} {
		b, err := virtio.EncodeState(stateVersion, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := dev.LoadState(b); !errors.Is(err, virtio.ErrState) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A head that the queue does not have, from a state that lies, breaks the queue.
func TestLoadedHeadsAreJudged(t *testing.T) {
	g := boot(t, setup{})
	g.drv.Transport.Pause()
	lie, err := virtio.EncodeState(stateVersion, state{Queues: []savedRequests{{Heads: []uint16{60000}, Uniques: []uint64{1}}, {}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.dev.LoadState(lie); err != nil {
		t.Fatal(err)
	}
	g.drv.Transport.Resume()
	g.drv.WaitConfig()
	if !g.needsReset() {
		t.Error("the queue is not broken")
	}
}
