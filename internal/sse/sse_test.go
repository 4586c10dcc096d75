package sse

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

type event struct{ name, data string }

func readAll(r *Reader) (all []event, err error) {
	for {
		e, err := r.Next()
		if err != nil {
			return all, err
		}
		all = append(all, event{e.Name, string(e.Data)})
	}
}

func equal(a, b []event) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestEvents(t *testing.T) {
	for stream, want := range map[string][]event{
		"data: a\n\n":                            {{"", "a"}},
		"data:a\n\ndata:  b\n\n":                 {{"", "a"}, {"", " b"}},
		"event: x\ndata: 1\ndata: 2\n\n":         {{"x", "1\n2"}},
		"\xef\xbb\xbfdata: bom\n\n":              {{"", "bom"}},
		": comment\n\n\n\nid: 7\n\ndata\n\n":     {{"", ""}},
		"event: nothing\n\ndata: x\n\n":          {{"", "x"}},
		"retry: 10\ndata: {\"a\": \"b: c\"}\n\n": {{"", `{"a": "b: c"}`}},
	} {
		for _, end := range []string{"\n", "\r\n", "\r"} {
			wire := strings.ReplaceAll(stream, "\n", end)
			for name, r := range map[string]io.Reader{"whole": strings.NewReader(wire), "bytes": iotest.OneByteReader(strings.NewReader(wire))} {
				got, err := readAll(NewReader(r, 1000))
				if !equal(got, want) || err != io.EOF {
					t.Errorf("%q by %s: %q, %v, want %q", wire, name, got, err, want)
				}
			}
		}
	}
}

// An event must not wait for what follows it: the next one may be a long time coming.
func TestEventIsHandedOverWithItsLastByte(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", "\r"} {
		in, out := io.Pipe()
		r := NewReader(in, 100)
		go io.WriteString(out, "data: now"+end+end)
		if e, err := r.Next(); err != nil || string(e.Data) != "now" {
			t.Errorf("%q: %q, %v", end, e.Data, err)
		}
		out.Close()
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("%q: after the end: %v", end, err)
		}
	}
}

func TestCutAndTooLong(t *testing.T) {
	for _, stream := range []string{"data: a", "data: a\n", "event: x\n", "da"} {
		if _, err := NewReader(strings.NewReader(stream), 100).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", stream, err)
		}
	}
	for _, stream := range []string{"data: " + strings.Repeat("x", 200), strings.Repeat("data: x\n", 50), strings.Repeat("x", 1<<20)} {
		if _, err := NewReader(strings.NewReader(stream), 100).Next(); !errors.Is(err, ErrTooLong) {
			t.Errorf("%.20q: %v", stream, err)
		}
	}
}

// FuzzReader holds the reader to one meaning of a stream, however it is cut into pieces.
func FuzzReader(f *testing.F) {
	f.Add([]byte("event: message_start\r\ndata: {\"a\":1}\r\n\r\ndata: [DONE]\n\n"))
	f.Add([]byte("data: \xff\xfe\rdata\r\r:\n\n\ndata: é\n\n"))
	f.Add([]byte("\xef\xbb\xbf\xef\xbb\xbfdata:x\n\n"))
	streams, _ := filepath.Glob("../../plugins/*/internal/*/testdata/*.sse")
	for _, path := range streams {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 4096
		whole, err := readAll(NewReader(bytes.NewReader(stream), limit))
		pieces, err2 := readAll(NewReader(iotest.OneByteReader(bytes.NewReader(stream)), limit))
		if errors.Is(err, ErrTooLong) != errors.Is(err2, ErrTooLong) || !errors.Is(err, ErrTooLong) && !equal(whole, pieces) {
			t.Errorf("whole %q, %v; in pieces %q, %v", whole, err, pieces, err2)
		}
		for _, e := range whole {
			if len(e.data) > limit {
				t.Errorf("event of %d bytes", len(e.data))
			}
		}
	})
}
