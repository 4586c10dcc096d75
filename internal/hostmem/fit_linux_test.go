package hostmem

import (
	"errors"
	"math"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func TestFit(t *testing.T) {
	const mib = 1 << 20
	dir := t.TempDir()
	h := Host{MemInfo: filepath.Join(dir, "meminfo"), SelfCgroup: filepath.Join(dir, "cgroup"), CgroupRoot: dir}
	write(t, h.MemInfo, "MemAvailable: 102400 kB\n") // 100 MiB
	for _, c := range []struct {
		guest, overhead uint64
		fits            bool
	}{
		{90 * mib, 10 * mib, true},
		{90 * mib, 10*mib + 1, false},
		{100*mib + 1, 0, false},
		{math.MaxUint64, 10 * mib, false}, // no overflow
		{10 * mib, math.MaxUint64, false},
	} {
		err := h.Fit(c.guest, c.overhead, "the monitor")
		if c.fits != (err == nil) || !c.fits && !errors.Is(err, errdef.ErrExhausted) {
			t.Errorf("Fit(%d, %d) = %v", c.guest, c.overhead, err)
		}
	}
}
