package guestconsole

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func readAll(t *testing.T, r *Ring, follow bool) (string, uint64) {
	t.Helper()
	var out []byte
	var dropped uint64
	err := r.Read(t.Context(), follow, func(data []byte, lost uint64) error {
		out = append(out, data...)
		dropped += lost
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out), dropped
}

func TestReadReturnsWhatWasWritten(t *testing.T) {
	var r Ring
	_, _ = r.Write([]byte("one "))
	_, _ = r.Write([]byte("two"))
	for range 2 { // readers do not take bytes from each other
		if got, lost := readAll(t, &r, false); got != "one two" || lost != 0 {
			t.Errorf("read %q, lost %d", got, lost)
		}
	}
}

func TestOldBytesAreDroppedAndCounted(t *testing.T) {
	stream := make([]byte, Size+Size/2+7)
	for i := range stream {
		stream[i] = byte(i % 251)
	}
	for _, step := range []int{1 << 10, 1000, Size - 1, len(stream)} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			var r Ring
			for rest := stream; len(rest) > 0; {
				n := min(step, len(rest))
				_, _ = r.Write(rest[:n])
				rest = rest[n:]
			}
			got, lost := readAll(t, &r, false)
			if want := stream[len(stream)-Size:]; !bytes.Equal([]byte(got), want) {
				t.Error("the kept bytes are not the last ones")
			}
			if want := uint64(len(stream) - Size); lost != want {
				t.Errorf("lost = %d, want %d", lost, want)
			}
		})
	}
}

func TestFollowEndsWithTheOutput(t *testing.T) {
	var r Ring
	_, _ = r.Write([]byte("a"))
	first := make(chan struct{})
	result := make(chan string, 1)
	go func() {
		var out string
		_ = r.Read(context.Background(), true, func(data []byte, _ uint64) error {
			if out == "" {
				close(first)
			}
			out += string(data)
			return nil
		})
		result <- out
	}()
	<-first
	_, _ = r.Write([]byte("b"))
	r.Close()
	if got := <-result; got != "ab" {
		t.Errorf("followed %q, want ab", got)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	var r Ring
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Read(ctx, true, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want Canceled", err)
	}
}

func TestReaderErrorEndsTheRead(t *testing.T) {
	var r Ring
	_, _ = r.Write([]byte("a"))
	full := errors.New("full")
	if err := r.Read(t.Context(), true, func([]byte, uint64) error { return full }); !errors.Is(err, full) {
		t.Errorf("error = %v, want the reader's", err)
	}
}

func TestTail(t *testing.T) {
	var r Ring
	if got := r.Tail(3); got != "" {
		t.Errorf("tail of nothing = %q", got)
	}
	for i := range 100 {
		_, _ = fmt.Fprintf(&r, "line %d\r\n", i)
	}
	if got, want := r.Tail(2), "line 98\nline 99"; got != want {
		t.Errorf("tail = %q, want %q", got, want)
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := NewLines(func(line string) { got = append(got, line) })
	for _, part := range []string{"ab", "c\r\n", "\nsecond\nthi"} {
		_, _ = l.Write([]byte(part))
	}
	if want := "abc||second"; strings.Join(got, "|") != want {
		t.Errorf("lines = %q, want %q", strings.Join(got, "|"), want)
	}
}

func TestEndlessLineIsBounded(t *testing.T) {
	var got string
	l := NewLines(func(line string) { got = line })
	for range 100 {
		_, _ = l.Write(bytes.Repeat([]byte("x"), 1000))
	}
	_, _ = l.Write([]byte("\n"))
	if len(got) != maxLine || cap(l.part) > 2*maxLine {
		t.Errorf("kept %d bytes with room for %d", len(got), cap(l.part))
	}
}

func TestKernelPanic(t *testing.T) {
	for line, want := range map[string]string{
		"[    1.0] Kernel panic - not syncing: Attempted to kill init!": "Attempted to kill init!",
		"Kernel panic - not syncing":                                    "",
	} {
		if got, found := KernelPanic(line); !found || got != want {
			t.Errorf("%q: %q, %v", line, got, found)
		}
	}
	if _, found := KernelPanic("all is well"); found {
		t.Error("a panic out of nothing")
	}
}
