package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
)

// FuzzCapture reads what was written as whoever opens the file does: whatever frames come, the file is whole, within its limit, and has
// the frames in order, each as far as it was to be kept. The input is the frames, each after two bytes of its length.
func FuzzCapture(f *testing.F) {
	f.Add(int16(0), uint16(0), []byte("\x03\x00abc"))
	f.Add(int16(2), uint16(1000), []byte("\x03\x00abc\x01\x00x\x00\x00\x05\x00abcde"))
	f.Add(int16(-1), uint16(header+perPacket+2), []byte("\x02\x00ab\x02\x00cd"))
	f.Add(int16(1), uint16(3), []byte("\x01\x00x"))
	f.Fuzz(func(t *testing.T, snap int16, limit uint16, input []byte) {
		c := New(int(snap), uint64(limit))
		var frames [][]byte
		for len(input) >= 2 {
			n := min(int(binary.LittleEndian.Uint16(input)), len(input)-2)
			frames = append(frames, input[2:2+n])
			c.Frame(frames[len(frames)-1])
			input = input[2+n:]
		}
		file := taken(t, c)
		if len(file) > int(limit) {
			t.Fatalf("a file of %d bytes, where %d were the limit", len(file), limit)
		}
		if limit < header {
			return
		}
		left, keeps := file[header:], int(binary.LittleEndian.Uint32(file[16:]))
		if binary.LittleEndian.Uint32(file) != magic || snap > 0 && keeps != int(snap) {
			t.Fatalf("header % x", file[:header])
		}
		for i := 0; len(left) > 0; i++ {
			kept := int(binary.LittleEndian.Uint32(left[8:]))
			if want := frames[i]; kept != min(keeps, len(want)) || int(binary.LittleEndian.Uint32(left[12:])) != len(want) || !bytes.Equal(left[perPacket:perPacket+kept], want[:kept]) {
				t.Fatalf("frame %d is % x, want % x", i, left[:perPacket+kept], want)
			}
			left = left[perPacket+kept:]
			if i == len(frames)-1 && len(left) > 0 || len(left) == 0 && i < len(frames)-1 && !c.full {
				t.Fatalf("%d bytes after frame %d of %d", len(left), i, len(frames))
			}
		}
	})
}

// taken is the file of a capture to which nothing comes any more.
func taken(t *testing.T, c *Capture) []byte {
	t.Helper()
	var file bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := c.Run(ctx, writer(func(b []byte) (int, error) {
		if !c.full { // else Run ends by itself
			cancel()
		}
		return file.Write(b)
	}))
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
