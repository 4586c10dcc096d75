package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRecordGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "boot.state")
	for round := 1; round <= 3; round++ {
		r, err := loadRecord(path, "boot")
		if err != nil {
			t.Fatal(err)
		}
		r.add("start", true, float64(round))
		r.add("start", false, float64(10*round))
		r.Rounds++
		if err := r.save(); err != nil {
			t.Fatal(err)
		}
		if s := r.of("start"); r.Rounds != round || len(s.Ours) != round || len(s.Peer) != round {
			t.Fatalf("after %d rounds the record is %+v, %+v", round, r, s)
		}
	}
	r, err := loadRecord(path, "boot")
	if err != nil || !slices.Equal(r.of("start").Peer, []float64{10, 20, 30}) || r.of("other").Ours != nil {
		t.Errorf("read again: %+v, %v", r, err)
	}
}

func TestRecordOfSomethingElseIsNotMixedIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "boot.state")
	r, _ := loadRecord(path, "boot, own kernel")
	r.add("start", true, 1)
	r.Rounds = 1
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	other, err := loadRecord(path, "boot, Debian's kernel")
	if err != nil || other.Rounds != 0 || len(other.Series) != 0 {
		t.Errorf("got %+v, %v", other, err)
	}
	for _, text := range []string{"{}", "null"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := loadRecord(path, "boot")
		if err != nil {
			t.Fatal(err)
		}
		r.add("start", true, 1) // there is somewhere to put it
	}
	if err := os.WriteFile(path, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadRecord(path, "boot"); err == nil {
		t.Error("half a file was taken for a record")
	}
}
