package main_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/test/lab"
)

// maxPrivate bounds what a monitor of one vCPU and 128 MiB holds for itself, in bytes. It is about twice what it was found to hold.
const maxPrivate = 6 << 20

func TestMonitorIsSmall(t *testing.T) {
	lab.RequireKVM(t)
	s, p := boot(t, sandbox.Spec{CPUs: 1, MemoryBytes: 128 << 20})
	defer s.Close(t.Context())
	private := privateMemory(t, p.PID())
	total := uint64(0)
	for _, name := range slices.Sorted(maps.Keys(private)) {
		t.Logf("%6d KiB  %s", private[name]>>10, name)
		total += private[name]
	}
	t.Logf("%6d KiB private beside the guest's memory", total>>10)
	if total > maxPrivate {
		t.Errorf("the monitor holds %d KiB for itself, at most %d are expected", total>>10, maxPrivate>>10)
	}
}

// privateMemory adds up a process's own pages by the name of their mapping. Pages of files are not its own: the kernel can drop
// them, and other monitors use the same ones. The guest's memory is what is left out of core dumps.
func privateMemory(t *testing.T, pid int) map[string]uint64 {
	t.Helper()
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]uint64{}
	var name string
	var private uint64
	for line := range strings.Lines(string(smaps)) {
		words := strings.Fields(line)
		switch key := words[0]; {
		case !strings.HasSuffix(key, ":"):
			name, private = strings.Join(append([]string{words[1]}, words[5:]...), " "), 0
		case key == "Anonymous:":
			var kib uint64
			if _, err := fmt.Sscan(words[1], &kib); err != nil {
				t.Fatal(err)
			}
			private = kib << 10
		case key == "VmFlags:":
			if !slices.Contains(words, "dd") && private > 0 {
				sums[name] += private
			}
		}
	}
	return sums
}
