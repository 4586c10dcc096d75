package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// record is what has been measured so far. Kept in a file, it lets a long measurement be made in pieces, each in a lab of its own: a
// lab that hangs costs its piece and no more.
type record struct {
	What   string             `json:"what"` // of the measurement that the file belongs to
	Rounds int                `json:"rounds"`
	Series map[string]*series `json:"series"`

	path string // "" keeps it in memory
}

// series is one figure of both sides, a value a round or more.
type series struct {
	Ours []float64 `json:"ours"`
	Peer []float64 `json:"peer"`
}

// loadRecord goes on with the record in the file at path if that is one of the same measurement.
func loadRecord(path, what string) (*record, error) {
	fresh := &record{What: what, Series: map[string]*series{}, path: path}
	if path == "" {
		return fresh, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	r := &record{path: path}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to measure anew", path, err)
	}
	if r.What != what || r.Series == nil {
		return fresh, nil
	}
	return r, nil
}

// add notes a value of one side.
func (r *record) add(name string, ours bool, value float64) {
	s := r.Series[name]
	if s == nil {
		s = &series{}
		r.Series[name] = s
	}
	if ours {
		s.Ours = append(s.Ours, value)
	} else {
		s.Peer = append(s.Peer, value)
	}
}

// of returns a series, an empty one where nothing was added.
func (r *record) of(name string) series {
	if s := r.Series[name]; s != nil {
		return *s
	}
	return series{}
}

// save writes the record down, if it has a file.
func (r *record) save() error {
	if r.path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(r.path, append(text, '\n'), 0o644)
}
