package boot

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Stage is a step of the guest's way to being ready.
type Stage string

// Stages, in the order in which they are entered. A boot may fail in any of them.
const (
	StageStart   Stage = "start"   // the agent runs, and reads its configuration
	StageModules Stage = "modules" // kernel modules; the socket device is there afterwards
	StageMounts  Stage = "mounts"  // root file system and mounts
	StageNetwork Stage = "network" // interfaces, addresses, routes
	StageMain    Stage = "main"    // the main process is started
	StageReady   Stage = "ready"   // the agent serves the sandbox contract; the last line
	StageFailed  Stage = "failed"  // it never will; the last line
)

var stages = []Stage{StageStart, StageModules, StageMounts, StageNetwork, StageMain, StageReady, StageFailed}

// Announcement is one line of the announcement connection.
type Announcement struct {
	Stage Stage `json:"stage"`
	// Uptime is the guest's time since its kernel started.
	Uptime time.Duration `json:"uptime_ns,omitempty"`
	// Agent is the agent's version, with StageReady.
	Agent string `json:"version,omitempty"`
	// Error says what went wrong, with StageFailed.
	Error string `json:"error,omitempty"`
	// At is the stage that failed, with StageFailed.
	At Stage `json:"at,omitempty"`
}

// Err is nil unless a is a failure.
func (a Announcement) Err() error {
	if a.Stage != StageFailed {
		return nil
	}
	return fmt.Errorf("guest failed in stage %s: %s", a.At, a.Error)
}

// Write appends a to an announcement connection.
func (a Announcement) Write(w io.Writer) error {
	if len(a.Error) > maxLine/8 { // JSON may need six bytes for one
		a.Error = a.Error[:maxLine/8]
	}
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

const (
	maxLine  = 8 << 10
	maxLines = 64
)

// ReadAnnouncements calls fn with each announcement that a guest sends, up to and with the last one: StageReady or
// StageFailed. A connection that ends before is io.ErrUnexpectedEOF. The bytes are the guest's, so lines are bounded in
// length and number, and an unknown stage is an error.
func ReadAnnouncements(r io.Reader, fn func(Announcement)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 512), maxLine)
	for n := 0; lines.Scan(); n++ {
		if n == maxLines {
			return fmt.Errorf("announcement: more than %d lines", maxLines)
		}
		a, err := parseAnnouncement(lines.Bytes())
		if err != nil {
			return err
		}
		fn(a)
		if a.Stage == StageReady || a.Stage == StageFailed {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("announcement: %w", err)
	}
	return io.ErrUnexpectedEOF
}

func parseAnnouncement(line []byte) (Announcement, error) {
	var a Announcement
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("announcement: %w", err)
	}
	if !a.Stage.known() {
		return a, fmt.Errorf("announcement: unknown stage %q", a.Stage)
	}
	if a.Stage == StageFailed && a.Error == "" {
		return a, errors.New("announcement: a failure without an error")
	}
	return a, nil
}

func (s Stage) known() bool {
	for _, known := range stages {
		if s == known {
			return true
		}
	}
	return false
}

const consolePrefix = "voidbox: stage "

// ConsoleLine is the line that says on the console that s was entered, without a line end.
func (s Stage) ConsoleLine() string { return consolePrefix + string(s) }

// ConsoleStage finds a stage in a line of the console. Any process of the guest that may write there can forge one: use it
// to explain a failure, not to decide.
func ConsoleStage(line string) (Stage, bool) {
	_, name, found := strings.Cut(line, consolePrefix)
	if !found {
		return "", false
	}
	name, _, _ = strings.Cut(strings.TrimRight(name, "\r\n"), " ")
	return Stage(name), Stage(name).known()
}
