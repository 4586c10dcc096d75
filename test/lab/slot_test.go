package lab

import (
	"context"
	"errors"
	"testing"
)

func TestSlotsBoundTheLabs(t *testing.T) {
	dir := t.TempDir()
	var releases []func()
	for range maxLabs() {
		release, err := takeSlot(t.Context(), dir, func(s string) { t.Error(s) })
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	// One too many waits, and says so.
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	if _, err := takeSlot(ctx, dir, func(string) { cancel(enough) }); !errors.Is(err, enough) {
		t.Fatalf("%v, want the cause of the context's end", err)
	}
	releases[0]()
	again, err := takeSlot(t.Context(), dir, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	again()
	for _, release := range releases[1:] {
		release()
	}
}
