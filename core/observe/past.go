package observe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Past is a run as its directory tells of it: one that is over, or one that lives still.
type Past struct {
	Manifest
	Path   string
	Alive  bool
	Status event.Status // Killed when nobody wrote down how it ended; empty while it lives
	Error  string
	Took   time.Duration
	Totals event.Totals
	Done   int // stages that succeeded
}

// Killed is the status of a run that ended without a word.
const Killed event.Status = "killed"

// Resumable tells whether there is something to go on with.
func (p Past) Resumable() bool { return !p.Alive && p.Status != event.Succeeded && len(p.Stages) > 0 }

// OpenPast reads a run directory. One that is no run, or not there, is errdef.ErrNotFound.
func OpenPast(path string) (Past, error) {
	p := Past{Path: path}
	err := readDocument(filepath.Join(path, "run.json"), &p.Manifest, &p.Manifest.Version)
	if errors.Is(err, fs.ErrNotExist) {
		return p, errdef.New(errdef.ErrNotFound, "there is no run %s", path).WithRemedy("`voidbox ps --all` lists them")
	}
	if err != nil {
		return p, errdef.New(errdef.ErrDataLoss, "run %s: %w", filepath.Base(path), err).WithRemedy("run the file anew")
	}
	if p.Alive, err = alive(path); err != nil {
		return p, fmt.Errorf("run %s: %w", filepath.Base(path), err)
	}
	records, err := p.Records()
	if err != nil {
		return p, err
	}
	p.Done = len(records)
	if p.Alive {
		return p, nil
	}
	var result struct {
		Status   event.Status  `json:"status"`
		Error    string        `json:"error"`
		Totals   event.Totals  `json:"totals"`
		Duration time.Duration `json:"duration_ns"`
	}
	p.Status = Killed
	if err := readDocument(filepath.Join(path, "result.json"), &result, nil); err == nil {
		p.Status, p.Error, p.Totals, p.Took = result.Status, result.Error, result.Totals, result.Duration
	}
	return p, nil
}

// Records returns the records of the stages that succeeded, by stage. One that cannot be read is left out: its stage runs again.
func (p Past) Records() (map[string]StageRecord, error) {
	dir := filepath.Join(p.Path, "stages")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the stages of run %s: %w", p.Run, err)
	}
	records := map[string]StageRecord{}
	for _, e := range entries {
		var r StageRecord
		if !strings.HasSuffix(e.Name(), ".json") || readDocument(filepath.Join(dir, e.Name()), &r, &r.Version) != nil {
			continue
		}
		records[r.Stage] = r
	}
	return records, nil
}

// List returns the runs of a directory of run directories, the oldest first. What is no run, or cannot be read, is left out.
func List(base string) ([]Past, error) {
	entries, err := os.ReadDir(base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the runs: %w", err)
	}
	var runs []Past
	for _, e := range entries {
		if p, err := OpenPast(filepath.Join(base, e.Name())); err == nil {
			runs = append(runs, p)
		}
	}
	slices.SortStableFunc(runs, func(a, b Past) int { return a.Started.Compare(b.Started) })
	return runs, nil
}

// hold marks a run directory as that of a run that lives. The kernel lets go when the process ends, however it does.
func hold(events *os.File) error {
	for {
		err := unix.Flock(int(events.Fd()), unix.LOCK_EX) // who only looks lets go at once
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// alive tells whether a run holds its directory.
func alive(path string) (bool, error) {
	f, err := os.Open(filepath.Join(path, eventsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
