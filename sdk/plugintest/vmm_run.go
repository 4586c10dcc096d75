package plugintest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// vmmCases are held against a VM that lives.
var vmmCases = []vmmCase{
	{"before create", func(s *vmmSession) {
		s.wantState("start", s.Start(s.ctx))
		s.wantState("console", s.Console(s.ctx, false, func([]byte, uint64) error { return nil }))
		_, err := s.Metrics(s.ctx)
		s.wantState("metrics", err)
		if s.has(vmm.CapPause) {
			s.wantState("pause", s.Pause(s.ctx))
			s.wantState("resume", s.Resume(s.ctx))
		}
	}},
	{"created", func(s *vmmSession) {
		s.create()
		_, err := s.Create(s.ctx, s.machine())
		s.wantState("create twice", err)
		if s.has(vmm.CapPause) {
			s.wantState("pause before start", s.Pause(s.ctx))
		}
		if text, lost := s.readConsole(); text != "" || lost != 0 {
			s.Errorf("nothing runs yet, but the console has %q, %d bytes lost", text, lost)
		}
		for range 2 {
			s.must(s.Stop(s.ctx, 0))
		}
		s.wantState("start after stop", s.Start(s.ctx))
		s.wantNothingLeft()
	}},
	{"running", func(s *vmmSession) {
		disks := addDisks(s)
		s.boot()
		s.wantState("start twice", s.Start(s.ctx))
		group := func(name string, f func(*vmmSession)) {
			ok := s.Run(name, func(t *testing.T) { one := *s; one.T = t; f(&one) })
			if !ok && s.ctx.Err() != nil {
				s.FailNow()
			}
		}
		group("vsock", vsockConvention)
		group("console", consoleIsHeard)
		group("metrics", metricsAreRead)
		group("disks", disks)
		group("pause", pauseStopsTheGuest)
		group("declined", capabilitiesAreDeclined)
	}},
}

// consoleIsHeard writes to the console from inside, and reads it as several readers do.
func consoleIsHeard(s *vmmSession) {
	s.sh("echo suite-was-here > /dev/console")
	s.awaitConsole("suite-was-here")
	for range 2 { // readers do not take bytes from each other
		if text, _ := s.readConsole(); !strings.Contains(text, "suite-was-here") {
			s.Error("a later reader misses what was written before")
		}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if err := s.Console(ctx, true, func([]byte, uint64) error { return nil }); err == nil {
		s.Error("following the console outlives its context")
	}
}

var counterName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

func metricsAreRead(s *vmmSession) {
	counters, err := s.Metrics(s.ctx)
	s.must(err)
	if len(counters) == 0 {
		s.Error("there are no metrics")
	}
	for name := range counters {
		if !counterName.MatchString(name) {
			s.Errorf("counter %q: want a dotted name", name)
		}
	}
}

// addDisks gives the machine two disks, and returns what is to hold of them.
func addDisks(s *vmmSession) func(*vmmSession) {
	const size = 1 << 20
	disk := func(name string, readOnly bool) vmm.Disk {
		path := filepath.Join(s.TempDir(), name)
		content := strings.Repeat(name+"-content ", size/len(name+"-content "))
		s.must(os.WriteFile(path, []byte(content+strings.Repeat(".", size-len(content))), 0o600))
		return vmm.Disk{ID: name, Path: path, ReadOnly: readOnly}
	}
	fixed, free := disk("fixed", true), disk("free", false)
	s.spec.Disks = []vmm.Disk{fixed, free}
	return func(s *vmmSession) {
		for _, d := range s.spec.Disks {
			device := s.findDisk(d.ID)
			if got := s.sh("head -c 12 " + device); got != (d.ID + "-content ")[:12] {
				s.Errorf("disk %s begins with %q", d.ID, got)
			}
			if got := strings.TrimSpace(s.sh(fmt.Sprintf("cat /sys/class/block/%s/size", filepath.Base(device)))); got != fmt.Sprint(size/512) {
				s.Errorf("disk %s has %s sectors, want %d", d.ID, got, size/512)
			}
		}
		s.sh(fmt.Sprintf("echo written-by-the-guest | dd of=%s bs=512 seek=100 conv=fsync,notrunc", s.findDisk("free")))
		content, err := os.ReadFile(free.Path)
		s.must(err)
		if got := string(content[512*100:][:20]); got != "written-by-the-guest" || len(content) != size {
			s.Errorf("the host's file has %q and %d bytes", got, len(content))
		}
		if out, err := s.try(fmt.Sprintf("echo no | dd of=%s bs=512 conv=fsync,notrunc", s.findDisk("fixed"))); err == nil {
			s.Errorf("a read-only disk was written to: %s", out)
		}
	}
}

// findDisk returns the device of a disk, by its serial number.
func (s *vmmSession) findDisk(id string) string {
	s.Helper()
	name := strings.TrimSpace(s.sh(fmt.Sprintf("cd /sys/class/block && for d in *; do test \"$(cat $d/serial 2>/dev/null)\" = %s && echo $d; done; true", id)))
	if name == "" || strings.Contains(name, "\n") {
		s.Fatalf("disk %s is %q in the guest", id, name)
	}
	return "/dev/" + name
}

// lookAgain is the time between two looks at a guest that should stand still. A guest that does passes however long it is.
const lookAgain = 100 * time.Millisecond

// pauseStopsTheGuest pauses a guest that prints without end.
func pauseStopsTheGuest(s *vmmSession) {
	if !s.has(vmm.CapPause) {
		s.wantUnsupported("pause", s.Pause(s.ctx))
		s.wantUnsupported("resume", s.Resume(s.ctx))
		return
	}
	s.wantState("resume of a running VM", s.Resume(s.ctx))
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	ticks := s.background(ctx, "i=0; while true; do i=$((i+1)); echo $i; done")
	for range 3 {
		ticks.awaitGrowth(s)
		s.must(s.Pause(s.ctx))
		s.wantState("pause of a paused VM", s.Pause(s.ctx))
		s.wantState("start of a paused VM", s.Start(s.ctx))
		// What was under way arrives, and then nothing more: a guest that goes on prints for ever.
		for before := ticks.count() - 1; before != ticks.count(); {
			before = ticks.count()
			select {
			case <-time.After(lookAgain):
			case <-s.ctx.Done():
				s.Fatal("the guest goes on while it is paused")
			}
		}
		call, hangUp := context.WithTimeout(s.ctx, 2*lookAgain)
		if _, err := s.agent.Info(call); err == nil {
			s.Error("the guest answers while it is paused")
		}
		hangUp()
		s.readConsole()
		if _, err := s.Metrics(s.ctx); err != nil {
			s.Errorf("metrics of a paused VM: %v", err)
		}
		s.must(s.Resume(s.ctx))
	}
	ticks.awaitGrowth(s)
	if _, err := s.agent.Info(s.ctx); err != nil {
		s.Errorf("the guest does not answer after it was resumed: %v", err)
	}
	want := []vmm.EventKind{vmm.Started, vmm.Paused, vmm.Resumed, vmm.Paused, vmm.Resumed, vmm.Paused, vmm.Resumed}
	if got := kinds(s.history.all()); fmt.Sprint(got) != fmt.Sprint(want) {
		s.Errorf("events: %v, want %v", got, want)
	}
}

// capabilitiesAreDeclined demands that what the plugin does not declare is refused in so many words.
func capabilitiesAreDeclined(s *vmmSession) {
	if !s.has(vmm.CapSnapshot) {
		s.wantUnsupported("snapshot", s.Snapshot(s.ctx, s.TempDir()))
		s.wantUnsupported("restore", s.Restore(s.ctx, s.TempDir(), vmm.Wires{}, nil))
	}
	if !s.has(vmm.CapRelink) {
		s.wantUnsupported("relink", s.Relink(s.ctx, vmm.Link{Kind: vmm.LinkNet, ID: "net"}))
	}
}
