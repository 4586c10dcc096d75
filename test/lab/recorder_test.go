package lab

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
)

// recorder stands in for a test, to see how it is ended.
type recorder struct {
	testing.TB
	verdict, reason string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any)  { r.end("skip", format, args) }
func (r *recorder) Fatalf(format string, args ...any) { r.end("fail", format, args) }

func (r *recorder) end(verdict, format string, args []any) {
	r.verdict, r.reason = verdict, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) run(f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	<-done
}

// requireFor asks for something that nobody has.
func requireFor(t testing.TB) {
	require(t, "unicorn", func() error { return errors.New("there is none") })
}
