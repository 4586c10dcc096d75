package monitor

import (
	"maps"
	"slices"
	"testing"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/test/lab"
)

func TestBootAndUse(t *testing.T) {
	lab.RequireKVM(t)
	m := freeMonitor(t, Options{})
	s := bootGuest(t, m, sandbox.Spec{})
	if out := shell(t, s, "echo hello from $(uname -s)"); out != "hello from Linux\n" {
		t.Errorf("output %q", out)
	}
	counters, err := m.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		t.Logf("%-30s %d", name, counters[name])
	}
	for _, name := range []string{"exits", "exits.io", "exits.mmio", "pio.serial.writes", "mmio.vsock.reads", "memory.rss_bytes", "console.bytes", "balloon.guest.total_bytes"} {
		if counters[name] == 0 {
			t.Errorf("counter %s is 0", name)
		}
	}
}
