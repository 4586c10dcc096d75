//go:build linux

package poll

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPatienceGrowsWithShortWaitsAndEndsWithALongOne(t *testing.T) {
	defer func(can bool) { canLook = can }(canLook)
	canLook = true
	var l looker
	begin := time.Now()
	for _, step := range []struct{ took, want time.Duration }{
		{longest, shortest}, {longest, 2 * shortest}, {longest + 1, 0}, {1, shortest}, {1, 2 * shortest}, {1, 4 * shortest}, {1, 8 * shortest},
		{1, 16 * shortest}, {1, longest}, {1, longest}, {time.Hour, 0},
	} {
		l.begin = begin
		if l.slept(begin.Add(step.took)); l.patience != step.want {
			t.Fatalf("after a wait of %v it looks for %v, not %v", step.took, l.patience, step.want)
		}
	}
	l.quiet = begin.Add(calm)
	if l.slept(begin.Add(1)); l.patience != 0 {
		t.Error("it looks although others need the processor")
	}
	canLook = false
	if l.slept(begin.Add(2 * calm)); l.patience != 0 {
		t.Error("it looks although there is one processor")
	}
}

// What comes while it looks is found without asking anybody to announce it.
func TestALookFindsWorkAndEvents(t *testing.T) {
	p, fd := newPoller(t), newEvent(t)
	if err := p.Add(fd, unix.EPOLLIN, 7); err != nil {
		t.Fatal(err)
	}
	var events [8]unix.EpollEvent
	awake := func() {
		if p.asleep.Load() {
			t.Error("it looks, and others are to wake it")
		}
	}
	busy := func() bool { return false } // a processor that others take ends the look, and it is to be tried again
	looks := 0
	for looks < 100 {
		p.looker.patience = time.Hour
		if _, err := p.Wait(events[:], worker{arm: busy, pending: func() bool { awake(); looks++; return looks%10 == 0 }}, false); err != nil {
			t.Fatal(err)
		}
	}
	w := worker{arm: busy, pending: func() bool { awake(); kick(t, fd); return false }}
	for {
		p.looker.patience = time.Hour
		n, err := p.Wait(events[:], w, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events[:n] {
			if e.Fd == int32(fd) {
				return
			}
		}
	}
}
