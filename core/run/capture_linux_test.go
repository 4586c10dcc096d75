package run

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func refusedBy(times int) func(*Run, *wiretest.Guest) {
	return func(_ *Run, guest *wiretest.Guest) {
		for range times {
			guest.Open(netip.MustParseAddrPort("10.0.2.2:22")).ExpectReset()
		}
	}
}

func TestPacketsAreCaptured(t *testing.T) {
	h := newWired(t, &plan.Network{}, refusedBy(3))
	h.cfg.Capture = Capture{Path: filepath.Join(t.TempDir(), "net.pcap")}
	if _, err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(h.cfg.Capture.Path)
	if err != nil || len(file) < 24 || binary.LittleEndian.Uint32(file) != 0xa1b23c4d {
		t.Fatalf("no pcap file: %d bytes, %v", len(file), err)
	}
	frames := 0
	for rest := file[24:]; len(rest) >= 16; frames++ {
		rest = rest[16+binary.LittleEndian.Uint32(rest[8:]):]
	}
	if frames < 6 { // three SYNs and three resets
		t.Errorf("%d frames", frames)
	}
	if warned := pick[event.Warning](h); len(warned) > 0 {
		t.Errorf("warnings %+v", warned)
	}
}

func TestCaptureEndsAtItsLimit(t *testing.T) {
	h := newWired(t, &plan.Network{}, refusedBy(50))
	h.cfg.Capture = Capture{Path: filepath.Join(t.TempDir(), "net.pcap"), MaxBytes: 1000}
	if _, err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(h.cfg.Capture.Path); err != nil || st.Size() > 1000 || st.Size() < 500 || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if warned := pick[event.Warning](h); len(warned) != 1 || !strings.Contains(warned[0].Message, "is full") {
		t.Errorf("warnings %+v", warned)
	}
}

func TestCapturesThatCannotBe(t *testing.T) {
	h := newWired(t, &plan.Network{}, refusedBy(1))
	h.cfg.Capture = Capture{Path: filepath.Join(t.TempDir(), "missing", "net.pcap")}
	if _, err := h.run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	h.cfg.Plan.Agents[0].Sandbox.Network = nil
	if _, err := New(h.cfg); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("error %v", err)
	}
}

func TestEachStageHasAFile(t *testing.T) {
	var n networks
	for _, tc := range []struct {
		stage  string
		stages int
		want   string
	}{
		{"solo", 1, "a/net.pcap"}, {"solo", 1, "a/net.2.pcap"}, {"build", 2, "a/net.build.pcap"}, {"build", 2, "a/net.build.2.pcap"}, {"x/y", 2, "a/net.x_y.pcap"},
	} {
		if got := n.file("a/net.pcap", tc.stage, tc.stages); got != tc.want {
			t.Errorf("stage %s has %s, want %s", tc.stage, got, tc.want)
		}
	}
}
