package tsc

import (
	"testing"
)

func TestTwoMetersAgree(t *testing.T) {
	if !supported {
		t.Log("no time-stamp counter here")
		if Start().KHz() != 0 {
			t.Error("a frequency without a counter")
		}
		return
	}
	a, b := Start().KHz(), Start().KHz()
	if a < 100_000 || a > 20_000_000 {
		t.Fatalf("%d kHz is no frequency of a CPU", a)
	}
	if diff := max(a, b) - min(a, b); diff > a/1000 {
		t.Errorf("two meters differ by more than 0.1 %%: %d and %d kHz", a, b)
	}
}
