//go:build linux

package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
)

func (g *guest) contents() []byte {
	g.t.Helper()
	b, err := os.ReadFile(g.dev.file.Name())
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

func (g *guest) wantStatus(got, want status) {
	g.t.Helper()
	if got != want {
		g.t.Fatalf("status %d, want %d", got, want)
	}
}

func TestRead(t *testing.T) {
	g := startGuest(t, Options{})
	want := g.contents()
	for _, c := range []struct {
		sector uint64
		n      int
	}{{0, 512}, {1, 4096}, {testSectors - 1, 512}, {testSectors - 64, 64 * 512}, {testSectors, 0}, {5, 0}} {
		s, data, used := g.do(kindIn, c.sector, nil, c.n)
		g.wantStatus(s, statusOK)
		if used != c.n+1 || !bytes.Equal(data, want[c.sector*512:][:c.n]) {
			t.Errorf("%d bytes at sector %d: used length %d, data equal: %t", c.n, c.sector, used, bytes.Equal(data, want[c.sector*512:][:c.n]))
		}
	}
	if st := g.dev.Stats(); st.Reads != 6 || st.ReadBytes != 512+4096+512+64*512 || st.Errors != 0 {
		t.Errorf("stats are %+v", st)
	}
}

func TestWrite(t *testing.T) {
	g := startGuest(t, Options{})
	want := g.contents()
	for i, c := range []struct {
		sector uint64
		n      int
	}{{0, 512}, {3, 4096}, {testSectors - 1, 512}, {testSectors - 60, 32 * 512}, {testSectors, 0}} {
		data := make([]byte, c.n)
		fillNoise(data, uint64(i+2))
		copy(want[c.sector*512:], data)
		s, _, used := g.do(kindOut, c.sector, data, 0)
		g.wantStatus(s, statusOK)
		if used != 1 {
			t.Errorf("used length %d of a write", used)
		}
	}
	if !bytes.Equal(g.contents(), want) {
		t.Error("the file is not what was written")
	}
	s, _, _ := g.do(kindFlush, 0, nil, 0)
	g.wantStatus(s, statusOK)
	if st := g.dev.Stats(); st.Writes != 5 || st.WrittenBytes != 512+4096+512+32*512 || st.Flushes != 1 {
		t.Errorf("stats are %+v", st)
	}
}

func TestGetID(t *testing.T) {
	for _, serial := range []string{"", "vol-1", "exactly-twenty-bytes"} {
		g := startGuest(t, Options{Serial: serial})
		want := make([]byte, 20)
		copy(want, serial)
		s, id, used := g.do(kindGetID, 0, nil, 20)
		g.wantStatus(s, statusOK)
		if !bytes.Equal(id, want) || used != 21 {
			t.Errorf("id %q of %q, used length %d", id, serial, used)
		}
		// More room than an identity needs, and less.
		if s, id, used = g.do(kindGetID, 0, nil, 30); s != statusOK || used != 20 || id[20] != unwritten {
			t.Errorf("with room for 30: status %d, id %q, used length %d", s, id, used)
		}
		if s, id, used = g.do(kindGetID, 0, nil, 3); s != statusOK || used != 4 || !bytes.Equal(id, want[:3]) {
			t.Errorf("with room for 3: status %d, id %q, used length %d", s, id, used)
		}
	}
}

// ranges puts the payload of a discard or write zeroes request together from sector, number of sectors and flags.
func ranges(fields ...uint64) (b []byte) {
	for ; len(fields) > 0; fields = fields[3:] {
		b = binary.LittleEndian.AppendUint64(b, fields[0])
		b = binary.LittleEndian.AppendUint32(b, uint32(fields[1]))
		b = binary.LittleEndian.AppendUint32(b, uint32(fields[2]))
	}
	return b
}

func TestWriteZeroes(t *testing.T) {
	for _, flags := range []uint64{0, flagUnmap} {
		g := startGuest(t, Options{})
		want := g.contents()
		clear(want[3*512 : 103*512])
		s, _, used := g.do(kindWriteZeroes, 0, ranges(3, 100, flags), 0)
		g.wantStatus(s, statusOK)
		if used != 1 || !bytes.Equal(g.contents(), want) {
			t.Errorf("flags %d: used length %d; the wrong bytes are zero", flags, used)
		}
		if st := g.dev.Stats(); st.WriteZeroes != 1 {
			t.Errorf("stats are %+v", st)
		}
	}
}

func TestDiscard(t *testing.T) {
	g := startGuest(t, Options{})
	want := g.contents()
	clear(want[8*512 : 16*512])
	clear(want[64*512 : 128*512])
	s, _, _ := g.do(kindDiscard, 0, ranges(8, 8, 0, 64, 64, 0, 5, 0, 0), 0)
	g.wantStatus(s, statusOK)
	if !bytes.Equal(g.contents(), want) {
		t.Error("other bytes than those of the ranges have changed")
	}
	if st := g.dev.Stats(); st.Discards != 1 {
		t.Errorf("stats are %+v", st)
	}
}

// TestRefused covers what a driver must not ask for: it is told so, and nothing happens to the disk.
func TestRefused(t *testing.T) {
	const past = 1<<64 - 1
	sector := make([]byte, 512)
	many := make([]uint64, 3*(maxDiscardSegs+1))
	for name, c := range map[string]struct {
		readable []byte
		room     int
		want     status
	}{
		"read past the end":                {header(kindIn, testSectors), 512, statusIOError},
		"read across the end":              {header(kindIn, testSectors-1), 1024, statusIOError},
		"read from a sector that wraps":    {header(kindIn, past), 1024, statusIOError},
		"read from an offset that wraps":   {header(kindIn, 1<<55), 512, statusIOError},
		"read of half a sector":            {header(kindIn, 0), 256, statusIOError},
		"read of one byte more":            {header(kindIn, 0), 513, statusIOError},
		"empty read past the end":          {header(kindIn, testSectors+1), 0, statusIOError},
		"write past the end":               {append(header(kindOut, testSectors), sector...), 0, statusIOError},
		"write to a sector that wraps":     {append(header(kindOut, past), sector...), 0, statusIOError},
		"write of a part of a sector":      {append(header(kindOut, 0), sector[:511]...), 0, statusIOError},
		"type of SCSI commands":            {header(2, 0), 0, statusUnsupported},
		"lifetime":                         {header(10, 0), 512, statusUnsupported},
		"secure erase":                     {append(header(14, 0), ranges(0, 1, 0)...), 0, statusUnsupported},
		"type with a high bit":             {header(1<<31, 0), 0, statusUnsupported},
		"no header":                        {nil, 0, statusIOError},
		"short header":                     {header(kindIn, 0)[:15], 512, statusIOError},
		"discard of no range":              {header(kindDiscard, 0), 0, statusIOError},
		"discard of half a range":          {append(header(kindDiscard, 0), ranges(0, 1, 0)[:8]...), 0, statusIOError},
		"discard of a range and a half":    {append(header(kindDiscard, 0), ranges(0, 1, 0, 1, 1, 0)[:24]...), 0, statusIOError},
		"discard of too many ranges":       {append(header(kindDiscard, 0), ranges(many...)...), 0, statusIOError},
		"discard past the end":             {append(header(kindDiscard, 0), ranges(0, 8, 0, testSectors, 1, 0)...), 0, statusIOError},
		"discard of a range that wraps":    {append(header(kindDiscard, 0), ranges(past, 1, 0)...), 0, statusIOError},
		"discard with unmap":               {append(header(kindDiscard, 0), ranges(0, 8, flagUnmap)...), 0, statusUnsupported},
		"zeroes with an unknown flag":      {append(header(kindWriteZeroes, 0), ranges(0, 8, 2)...), 0, statusUnsupported},
		"zeroes past the end":              {append(header(kindWriteZeroes, 0), ranges(testSectors-1, 2, 0)...), 0, statusIOError},
		"zeroes of two ranges":             {append(header(kindWriteZeroes, 0), ranges(0, 1, 0, 1, 1, 0)...), 0, statusIOError},
		"zeroes of the length 2^32-1":      {append(header(kindWriteZeroes, 0), ranges(0, 1<<32-1, 0)...), 0, statusIOError},
		"discard where the end is a range": {append(header(kindDiscard, 0), ranges(0, testSectors+1, 0)...), 0, statusIOError},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGuest(t, Options{})
			before := g.contents()
			s, data, used := g.send(c.readable, []int{len(c.readable)}, []int{c.room, 1})
			g.wantStatus(s, c.want)
			for _, b := range data {
				if b != unwritten {
					t.Fatal("the device wrote more than a status")
				}
			}
			if want := 1; c.room == 0 && used != want || c.room > 0 && used != 0 {
				t.Errorf("used length %d with room for %d", used, c.room)
			}
			if !bytes.Equal(g.contents(), before) {
				t.Error("the disk has changed")
			}
			if st := g.dev.Stats(); st.Errors != 1 || st.Reads+st.Writes+st.Discards+st.WriteZeroes != 0 {
				t.Errorf("stats are %+v", st)
			}
			// The device goes on.
			s, _, _ = g.do(kindIn, 0, nil, 512)
			g.wantStatus(s, statusOK)
		})
	}
}

// TestLayouts cuts requests into descriptors in ways that Linux does not: header, data and status share descriptors, or are spread
// over many.
func TestLayouts(t *testing.T) {
	data := make([]byte, 1024)
	fillNoise(data, 7)
	write := append(header(kindOut, 10), data...)
	for name, c := range map[string]struct{ cut, room []int }{
		"one descriptor a side":       {[]int{1040}, []int{1025}},
		"header in bytes":             {[]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1024}, []int{1024, 1}},
		"header and data cut askew":   {[]int{5, 900, 135}, []int{7, 1000, 18}},
		"status with the data's tail": {[]int{16, 512, 512}, []int{512, 513}},
		"data in odd pieces":          {[]int{16, 1, 2, 3, 1018}, []int{3, 2, 1, 1018, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGuest(t, Options{})
			s, _, used := g.send(write, c.cut, []int{1})
			g.wantStatus(s, statusOK)
			if used != 1 {
				t.Errorf("used length %d of a write", used)
			}
			s, got, used := g.send(header(kindIn, 10), []int{16}, c.room)
			g.wantStatus(s, statusOK)
			if used != 1025 || !bytes.Equal(got, data) {
				t.Errorf("used length %d of a read; data equal: %t", used, bytes.Equal(got, data))
			}
			if !bytes.Equal(g.contents()[10*512:12*512], data) {
				t.Error("the data are not at their place")
			}
		})
	}
}

// TestNoRoomForStatus sends chains that nobody can be answered on: they come back unused, and nothing happens to the disk.
func TestNoRoomForStatus(t *testing.T) {
	g := startGuest(t, Options{})
	before := g.contents()
	for name, readable := range map[string][]byte{
		"write": append(header(kindOut, 0), make([]byte, 512)...),
		"flush": header(kindFlush, 0),
		"byte":  {1},
	} {
		if _, _, used := g.send(readable, []int{len(readable)}, nil); used != 0 {
			t.Errorf("%s: used length %d", name, used)
		}
	}
	if !bytes.Equal(g.contents(), before) {
		t.Error("the disk has changed")
	}
	s, _, _ := g.do(kindIn, 0, nil, 512)
	g.wantStatus(s, statusOK)
}

func TestReadOnly(t *testing.T) {
	g := startGuest(t, Options{ReadOnly: true})
	if f := g.dev.Features(); f&FeatureReadOnly == 0 || f&(FeatureDiscard|FeatureWriteZeroes|FeatureConfigWCE) != 0 {
		t.Errorf("features are %#x", f)
	}
	before := g.contents()
	for _, readable := range [][]byte{
		append(header(kindOut, 0), make([]byte, 512)...),
		append(header(kindDiscard, 0), ranges(0, 8, 0)...),
		append(header(kindWriteZeroes, 0), ranges(0, 8, 0)...),
	} {
		s, _, _ := g.send(readable, []int{len(readable)}, []int{1})
		g.wantStatus(s, statusIOError)
	}
	if !bytes.Equal(g.contents(), before) {
		t.Error("the disk has changed")
	}
	s, data, _ := g.do(kindIn, 1, nil, 512)
	g.wantStatus(s, statusOK)
	if !bytes.Equal(data, before[512:1024]) {
		t.Error("a read-only disk reads differently")
	}
	s, _, _ = g.do(kindFlush, 0, nil, 0)
	g.wantStatus(s, statusOK)
}

// TestIndirect sends a request through an indirect table, as Linux does.
func TestIndirect(t *testing.T) {
	g := startGuest(t, Options{})
	table, at := g.mem.Alloc(48), g.mem.Alloc(4096)
	copy(g.mem.At(at, 16), header(kindIn, 4))
	g.ring.SetDescriptorAt(table, at, 16, 1, 1)
	g.ring.SetDescriptorAt(table+16, at+512, 512, 1|2, 2)
	g.ring.SetDescriptorAt(table+32, at+16, 1, 2, 0)
	g.mem.At(at+16, 1)[0] = unwritten
	g.ring.SetDescriptor(0, table, 48, 4, 0)
	g.ring.Offer(0)
	g.ring.Notify()
	if _, used := g.ring.Wait(); used != 513 || g.mem.At(at+16, 1)[0] != 0 {
		t.Fatalf("used length %d, status %d", used, g.mem.At(at+16, 1)[0])
	}
	if !bytes.Equal(g.mem.At(at+512, 512), g.contents()[4*512:5*512]) {
		t.Error("the data are wrong")
	}
}

// TestBrokenRing lets a chain loop: the queue ends with ErrRing, and the device can be stopped.
func TestBrokenRing(t *testing.T) {
	g := startGuest(t, Options{})
	g.ring.SetDescriptor(0, g.buffer, 16, 1, 1)
	g.ring.SetDescriptor(1, g.buffer, 16, 1, 0)
	g.ring.Offer(0)
	g.ring.Notify()
	if err := <-g.broken; !errors.Is(err, virtio.ErrRing) {
		t.Fatalf("broken with %v", err)
	}
	g.stop()
}
