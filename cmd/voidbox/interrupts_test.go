package main

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
)

// TestCtrlCTwice: the first asks a run to end and leaves it the time to clean up, the second takes that time away.
func TestCtrlCTwice(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		soft, hard, stop := quiet().interrupts(t.Context())
		interrupt(t, sig)
		<-soft.Done()
		if !errors.Is(context.Cause(soft), context.Canceled) || context.Cause(soft) != error(errInterrupted) {
			t.Errorf("%v: cause %v", sig, context.Cause(soft))
		}
		if hard.Err() != nil {
			t.Errorf("%v: the first one took the clean-up's time away", sig)
		}
		interrupt(t, sig)
		<-hard.Done()
		stop()
	}
}

func TestEndOfTheCommandEndsItsContexts(t *testing.T) {
	soft, hard, stop := quiet().interrupts(t.Context())
	stop()
	<-soft.Done()
	<-hard.Done()
}

func quiet() *cli { return &cli{log: &logWriter{w: io.Discard}} }

func interrupt(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}
