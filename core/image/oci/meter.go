package oci

import (
	"fmt"
	"sync"
)

// meter shows how far the layers of an image have come, ten times at most.
type meter struct {
	opt  Options
	name string

	mu        sync.Mutex
	got, want int64
	shown     int64 // tenths
}

// worthShowing is what takes longer than a blink.
const worthShowing = 1 << 20

func (m *meter) expect(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.want += n
	m.shown = 0
	if m.want > 0 {
		m.shown = 10 * m.got / m.want
	}
}

func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got += n
	if m.want < worthShowing {
		return
	}
	if tenths := 10 * m.got / m.want; tenths > m.shown {
		m.shown = tenths
		m.opt.progress("downloading %s: %s of %s", m.name, megabytes(m.got), megabytes(m.want))
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
