package console

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLinesArriveInOrder(t *testing.T) {
	var out bytes.Buffer
	c := New(&out)
	c.Line("one")
	c.Logger().Warn("two", "n", 2)
	c.Close()
	if want := "one\nvoidbox: level=WARN msg=two n=2\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
	c.Line("late") // is dropped, and does not panic
}

func TestTheRateIsBounded(t *testing.T) {
	var out bytes.Buffer
	c := New(&out)
	for range 10 * perTick {
		c.Line("line")
	}
	c.Close()
	// The clock may tick once or twice meanwhile.
	if n := strings.Count(out.String(), "line\n"); n < perTick || n > 4*perTick {
		t.Errorf("%d lines", n)
	}
}

func TestAConsoleThatTakesNothingDoesNotBlock(t *testing.T) {
	r, w := io.Pipe()
	c := New(w)
	for range 10 * queue {
		c.Line("line")
	}
	c.Close()
	_ = r.Close()
	<-c.stopped
}
