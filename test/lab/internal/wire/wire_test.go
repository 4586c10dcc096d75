package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

func TestFramesArriveAsSent(t *testing.T) {
	var stream bytes.Buffer
	w := NewWriter(&stream)
	long := bytes.Repeat([]byte("0123456789abcdef"), ChunkSize/16+1)
	if err := w.Write(Ready, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Stream(Output).Write(long); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		kind Kind
		body []byte
	}{{Ready, nil}, {Output, long[:ChunkSize]}, {Output, long[ChunkSize:]}}
	for i, frame := range want {
		kind, body, err := Read(&stream)
		if err != nil || kind != frame.kind || !bytes.Equal(body, frame.body) {
			t.Fatalf("frame %d: kind %d, %d bytes, %v", i, kind, len(body), err)
		}
	}
	if _, _, err := Read(&stream); err != io.EOF {
		t.Errorf("at the end: %v, want io.EOF", err)
	}
}

func TestBadFrames(t *testing.T) {
	large := binary.LittleEndian.AppendUint32([]byte{byte(Output)}, MaxFrame+1)
	if _, _, err := Read(bytes.NewReader(large)); err == nil {
		t.Error("a frame larger than MaxFrame is accepted")
	}
	for _, cut := range []string{"\x01", "\x01\x02\x00\x00\x00", "\x01\x02\x00\x00\x00x"} {
		if _, _, err := Read(bytes.NewReader([]byte(cut))); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) || err == io.EOF {
			t.Errorf("%q: %v, want an unexpected end", cut, err)
		}
	}
}

// Whatever bytes come, reading ends, and what was read can be written to the same bytes.
func FuzzRead(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00"))
	f.Add([]byte("\x43\x03\x00\x00\x00abc\x44\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bytes.NewReader(data)
		var out bytes.Buffer
		w := NewWriter(&out)
		for {
			kind, body, err := Read(in)
			if err != nil {
				break
			}
			if err := w.Write(kind, body); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(data, out.Bytes()) {
			t.Errorf("%q became %q", data, out.Bytes())
		}
	})
}
