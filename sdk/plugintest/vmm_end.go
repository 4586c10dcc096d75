package plugintest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// vmmEndCases each take a VM to its end.
var vmmEndCases = []vmmCase{
	{"stop without a VM ends watchers", func(s *vmmSession) {
		s.history = watchVMM(s)
		for range 2 {
			s.must(s.Stop(s.ctx, 0))
		}
		<-s.history.ended
		if got := kinds(s.history.all()); len(got) != 1 || got[0] != vmm.Stopped {
			s.Errorf("events: %v", got)
		}
		_, err := s.Create(s.ctx, s.machine())
		s.wantState("create after stop", err)
	}},
	{"power button", func(s *vmmSession) {
		s.bootMain("trap 'echo main: asked to end > /dev/console; exit' TERM")
		s.must(s.Stop(s.ctx, patience/2))
		s.history.wantEnd(s, vmm.PowerOff) // which only the guest itself can do
		if text, _ := s.readConsole(); !strings.Contains(text, "main: asked to end") {
			s.Error("the guest's main process was not asked to end")
		}
		s.afterTheEnd()
	}},
	{"hard stop", func(s *vmmSession) {
		s.bootMain("trap '' TERM") // the guest agent waits for it, longer than we do
		s.must(s.Stop(s.ctx, time.Millisecond))
		s.history.wantEnd(s)
		s.afterTheEnd()
	}},
	{"stop of a paused VM", func(s *vmmSession) {
		if !s.has(vmm.CapPause) {
			return
		}
		s.boot()
		s.must(s.Pause(s.ctx))
		s.must(s.Stop(s.ctx, 0))
		s.history.wantEnd(s, vmm.Paused)
		s.afterTheEnd()
	}},
	{"the guest powers off", func(s *vmmSession) {
		s.boot()
		s.background(s.ctx, "poweroff -f")
		s.history.wantEnd(s, vmm.PowerOff)
		s.afterTheEnd()
	}},
	{"the guest resets", func(s *vmmSession) {
		s.boot()
		s.background(s.ctx, "reboot -f")
		s.history.wantEnd(s, vmm.Reset)
		s.afterTheEnd()
	}},
	{"the guest panics", func(s *vmmSession) {
		s.boot()
		// Every kernel can run out of memory, and can be told to take it badly.
		s.background(s.ctx, "echo 2 > /proc/sys/vm/panic_on_oom && tail /dev/zero")
		s.history.wantEnd(s, vmm.Panic)
		if e := s.history.await(s, vmm.Panic); !strings.Contains(e.Detail, "memory") {
			s.Errorf("the panic's reason is %q", e.Detail)
		}
		s.afterTheEnd()
	}},
	{"a flooded console loses its oldest bytes and stops nobody", func(s *vmmSession) {
		s.boot()
		const flood = 280 << 10 // more than is kept
		s.sh(fmt.Sprintf("yes 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde | head -c %d > /dev/console; echo the-end > /dev/console", flood))
		s.awaitConsole("the-end")
		text, lost := s.readConsole()
		if lost == 0 || len(text) > 256<<10 || uint64(len(text))+lost < flood {
			s.Errorf("%d bytes kept and %d lost of more than %d", len(text), lost, flood)
		}
		if !strings.HasSuffix(strings.TrimRight(text, "\r\n"), "the-end") {
			s.Errorf("the last bytes are %q", text[max(0, len(text)-40):])
		}
	}},
}

// afterTheEnd is what holds of every VM that has stopped.
func (s *vmmSession) afterTheEnd() {
	s.Helper()
	s.must(s.Stop(s.ctx, patience))
	_, err := s.Create(s.ctx, s.machine())
	s.wantState("create after the end", err)
	s.wantState("start after the end", s.Start(s.ctx))
	if s.has(vmm.CapPause) {
		s.wantState("pause after the end", s.Pause(s.ctx))
		s.wantState("resume after the end", s.Resume(s.ctx))
	}
	if _, err := s.Metrics(s.ctx); err != nil {
		s.Errorf("metrics after the end: %v", err)
	}
	// Following ends at once, with all that there was.
	if err := s.Console(s.ctx, true, func([]byte, uint64) error { return nil }); err != nil {
		s.Errorf("console after the end: %v", err)
	}
	var again []vmm.EventKind
	if err := s.Watch(s.ctx, func(e vmm.Event) error { again = append(again, e.Kind); return nil }); err != nil {
		s.Errorf("watch after the end: %v", err)
	}
	if want := kinds(s.history.all()); len(again) != len(want) {
		s.Errorf("a late watcher was told %v, an early one %v", again, want)
	}
	call, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if conn, _, err := s.connect(call, "CONNECT 1234\n"); err == nil {
		_ = conn.Close()
		s.Error("the guest can still be reached")
	} else if errors.Is(err, errdef.ErrState) {
		s.Error(err)
	}
	s.wantNothingLeft()
}
