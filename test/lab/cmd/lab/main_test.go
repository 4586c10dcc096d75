package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/voidbox-run/voidbox/test/lab"
)

func TestOnlyHangsAreTriedAgain(t *testing.T) {
	hang := fmt.Errorf("run: %w", &lab.HangError{Console: "the end"})
	other := errors.New("no kernel")
	for name, c := range map[string]struct {
		retries int
		ends    []error // of one boot after the other
		boots   int
		err     error
	}{
		"no hang":            {1, []error{nil}, 1, nil},
		"one hang":           {1, []error{hang, nil}, 2, nil},
		"two hangs":          {1, []error{hang, hang, nil}, 2, hang},
		"two may be":         {2, []error{hang, hang, nil}, 3, nil},
		"no retries":         {0, []error{hang, nil}, 1, hang},
		"something else":     {3, []error{other, nil}, 1, other},
		"something else yet": {3, []error{hang, other, nil}, 2, other},
	} {
		t.Run(name, func(t *testing.T) {
			boots := 0
			code, err := again(c.retries, func() (int, error) {
				boots++
				return boots, c.ends[boots-1]
			})
			if boots != c.boots || code != boots || !errors.Is(err, c.err) {
				t.Errorf("%d boots, status %d, %v", boots, code, err)
			}
		})
	}
}
