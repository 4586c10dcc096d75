package monitor

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/voidbox-run/voidbox/core/sandbox"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/test/lab"
)

func TestBootAndUse(t *testing.T) {
	lab.RequireKVM(t)
	m := freeMonitor(t, Options{})
	s := bootGuest(t, m, sandbox.Spec{})
	var out bytes.Buffer
	exit, err := s.Exec(t.Context(), contract.Command{Args: []string{"sh", "-c", "echo hello from $(uname -s)"}}, contract.IO{Stdout: &out})
	if err != nil || exit.Code != 0 || out.String() != "hello from Linux\n" {
		t.Errorf("exec: %+v, %v, output %q", exit, err, out.String())
	}
	_ = m.Console(t.Context(), false, func(data []byte, _ uint64) error { t.Logf("console:\n%s", data); return nil })
	counters, err := m.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		t.Logf("%-30s %d", name, counters[name])
	}
	for _, name := range []string{"exits", "exits.io", "exits.mmio", "pio.serial.writes", "mmio.vsock.reads", "memory.rss_bytes", "console.bytes"} {
		if counters[name] == 0 {
			t.Errorf("counter %s is 0", name)
		}
	}
}
