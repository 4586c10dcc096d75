//go:build linux

package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
)

func TestConfigSpace(t *testing.T) {
	g := startGuest(t, Options{Queues: 3})
	var c [64]byte
	g.dev.ReadConfig(0, c[:])
	le := binary.LittleEndian
	for name, v := range map[string][2]uint64{
		"capacity":             {le.Uint64(c[0:]), testSectors},
		"size_max":             {uint64(le.Uint32(c[8:])), 0},
		"seg_max":              {uint64(le.Uint32(c[12:])), 510},
		"blk_size":             {uint64(le.Uint32(c[20:])), 512},
		"physical_block_exp":   {uint64(c[24]), 3},
		"min_io_size":          {uint64(le.Uint16(c[26:])), 8},
		"writeback":            {uint64(c[32]), 1},
		"num_queues":           {uint64(le.Uint16(c[34:])), 3},
		"max_discard_sectors":  {uint64(le.Uint32(c[36:])), 4 << 20},
		"max_discard_seg":      {uint64(le.Uint32(c[40:])), 16},
		"discard alignment":    {uint64(le.Uint32(c[44:])), 8},
		"max_write_zeroes":     {uint64(le.Uint32(c[48:])), 64 << 10},
		"max_write_zeroes_seg": {uint64(le.Uint32(c[52:])), 1},
		"may unmap":            {uint64(c[56]), 1},
		"past the end":         {uint64(le.Uint32(c[60:])), 0},
	} {
		if v[0] != v[1] {
			t.Errorf("%s is %d, want %d", name, v[0], v[1])
		}
	}
	var part [4]byte
	g.dev.ReadConfig(34, part[:2])
	if part != [4]byte{3} {
		t.Errorf("two bytes of num_queues are %v", part)
	}
	part = [4]byte{1, 2, 3, 4}
	g.dev.ReadConfig(1<<32-2, part[:])
	if part != [4]byte{} {
		t.Errorf("bytes far outside read as %v", part)
	}
	if f := g.dev.Features(); f&FeatureMultiQueue == 0 || len(g.dev.QueueSizes()) != 3 {
		t.Errorf("features %#x, queues %v", f, g.dev.QueueSizes())
	}
}

// writes is a storage that records how writes are made.
type writes struct {
	storage
	modes []mode
	syncs int
}

func (w *writes) writev(v *vector, offset int64, m mode) (int, error) {
	w.modes = append(w.modes, m)
	return w.storage.writev(v, offset, m)
}

func (w *writes) sync() error {
	w.syncs++
	return w.storage.sync()
}

// TestCacheMode covers who is promised stable writes: drivers that cannot flush, and those that chose writethrough.
func TestCacheMode(t *testing.T) {
	for name, c := range map[string]struct {
		features uint64
		set      []byte // to the writeback field
		stable   bool
	}{
		"no flush":              {0, nil, true},
		"no flush, field set":   {0, []byte{1}, true},
		"flush":                 {FeatureFlush, nil, false},
		"flush, field ignored":  {FeatureFlush, []byte{0}, false},
		"writeback":             {FeatureFlush | FeatureConfigWCE, nil, false},
		"writethrough":          {FeatureFlush | FeatureConfigWCE, []byte{0}, true},
		"writeback again":       {FeatureFlush | FeatureConfigWCE, []byte{1}, false},
		"writeback, no flushes": {FeatureConfigWCE, []byte{1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGuest(t, Options{})
			g.stop()
			w := &writes{storage: g.dev.disk}
			g.dev.disk = w
			g.lend(c.features)
			if c.set != nil {
				g.dev.WriteConfig(configWriteback, c.set)
			}
			s, _, _ := g.do(kindOut, 0, make([]byte, 512), 0)
			g.wantStatus(s, statusOK)
			s, _, _ = g.do(kindWriteZeroes, 0, ranges(0, 8, 0), 0)
			g.wantStatus(s, statusOK)
			g.stop()
			if got := w.modes[len(w.modes)-1] == mustReachDisk; got != c.stable || (w.syncs > 0) != c.stable {
				t.Errorf("modes %v, %d syncs, want stable: %t", w.modes, w.syncs, c.stable)
			}
		})
	}
}

func TestWriteConfig(t *testing.T) {
	g := startGuest(t, Options{})
	space := func() (c [configSize]byte) { g.dev.ReadConfig(0, c[:]); return c }
	before := space()
	for offset := range uint32(70) {
		if offset == configWriteback {
			continue
		}
		g.dev.WriteConfig(offset, []byte{0xff})
	}
	g.dev.WriteConfig(1<<32-1, []byte{0, 0, 0, 0})
	if space() != before {
		t.Fatal("a driver changed what is not its own")
	}
	g.dev.WriteConfig(30, []byte{9, 9, 0, 9}) // a wide write covers the field
	if c := space(); c[configWriteback] != 0 {
		t.Error("the cache mode cannot be changed")
	}
	g.dev.Reset()
	if space() != before {
		t.Error("a reset keeps the cache mode")
	}
}

func TestState(t *testing.T) {
	a, b := startGuest(t, Options{}), startGuest(t, Options{})
	a.dev.WriteConfig(configWriteback, []byte{0})
	a.stop()
	b.stop()
	state, err := a.dev.SaveState()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.dev.LoadState(state); err != nil {
		t.Fatal(err)
	}
	again, err := b.dev.SaveState()
	if err != nil || !bytes.Equal(state, again) {
		t.Errorf("state %s became %s, %v", state, again, err)
	}
	for _, bad := range []string{
		"", "{}", `{"version":2,"data":{}}`,
		`{"version":1,"data":{"sectors":1,"writeback":true}}`,
		`{"version":1,"data":{"sectors":2048,"writeback":true,"more":1}}`,
	} {
		if err := b.dev.LoadState([]byte(bad)); !errors.Is(err, virtio.ErrState) {
			t.Errorf("LoadState(%q) = %v", bad, err)
		}
	}
	if after, _ := b.dev.SaveState(); !bytes.Equal(after, again) {
		t.Error("a state that was refused changed the device")
	}
}
