package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func copyAll(t *testing.T, l *Log) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if err := l.Copy(t.Context(), false, &out, &errs); err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String()
}

func TestStreamsAreKeptApart(t *testing.T) {
	l := NewLog()
	for i := range 3 {
		fmt.Fprintf(l.Stream(false), "out%d\n", i)
		fmt.Fprintf(l.Stream(true), "err%d\n", i)
	}
	out, errs := copyAll(t, l)
	if out != "out0\nout1\nout2\n" || errs != "err0\nerr1\nerr2\n" {
		t.Errorf("got %q and %q", out, errs)
	}
}

func TestTheLastMiBIsKept(t *testing.T) {
	for _, size := range []int{5, 4096, 100_000, 3 << 20} {
		l := NewLog()
		var all bytes.Buffer
		for n := 0; all.Len() < 3<<20; n++ {
			chunk := bytes.Repeat([]byte{byte(n)}, size)
			all.Write(chunk)
			_, _ = l.Stream(false).Write(chunk)
		}
		out, _ := copyAll(t, l)
		if len(out) < Limit || len(out) > Limit+maxPiece || !strings.HasSuffix(all.String(), out) {
			t.Errorf("writes of %d bytes: %d bytes are kept", size, len(out))
		}
	}
}

func TestBookkeepingIsBounded(t *testing.T) {
	l := NewLog()
	for range 4 * maxPieces {
		_, _ = l.Stream(false).Write([]byte("o"))
		_, _ = l.Stream(true).Write([]byte("e"))
	}
	if len(l.pieces) > maxPieces {
		t.Errorf("%d pieces", len(l.pieces))
	}
}

func TestFollowGoesOnToTheEnd(t *testing.T) {
	l := NewLog()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- l.Copy(t.Context(), true, w, nil)
		_ = w.Close()
	}()
	buf := make([]byte, 6)
	for i := range 3 {
		fmt.Fprintf(l.Stream(false), "line %d", i)
		if _, err := io.ReadFull(r, buf); err != nil || string(buf) != fmt.Sprintf("line %d", i) {
			t.Fatalf("read %q, %v", buf, err)
		}
		_, _ = l.Stream(true).Write([]byte("dropped"))
	}
	l.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewLog().Copy(ctx, true, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
