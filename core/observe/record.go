package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
)

// recordVersion is that of the documents below. Another one is not read: a run that cannot be resumed starts anew.
const recordVersion = 1

// maxRecord bounds a document of a run directory that is read back.
const maxRecord = 64 << 20

// Manifest says what a run was started with. It is written when the run begins, to run.json.
type Manifest struct {
	Version int       `json:"version"`
	Run     string    `json:"run"`
	Plan    string    `json:"plan"`
	Target  string    `json:"target"`
	Stages  []string  `json:"stages,omitempty"`
	Resumes string    `json:"resumes,omitempty"` // the run that it goes on with
	Started time.Time `json:"started"`
	Source  Source    `json:"source,omitzero"`
}

// Source is how to load the plan again. Values that are secrets are not in it.
type Source struct {
	File     string   `json:"file,omitempty"` // absolute
	Vars     []string `json:"vars,omitempty"` // name=value
	VarFiles []string `json:"var_files,omitempty"`
}

// StageRecord is what a stage that succeeded leaves for a run that resumes this one.
type StageRecord struct {
	Version int    `json:"version"`
	Stage   string `json:"stage"`
	Run     string `json:"run"` // that the stage ran in; an earlier one if it was reused
	// Made is what the stage was made from: a digest of each aspect, such as its prompt.
	Made      map[string]string `json:"made"`
	Result    plan.Result       `json:"result"`
	Totals    event.Totals      `json:"totals"`              // of all its attempts
	Artefacts string            `json:"artefacts,omitempty"` // digest of its files
	// Withheld says that the result held a secret. It is kept nowhere, and the stage has to run again.
	Withheld bool `json:"withheld,omitempty"`
}

// WriteManifest writes run.json.
func (d *RunDir) WriteManifest(m Manifest) error {
	m.Version = recordVersion
	return writeDocument(filepath.Join(d.path, "run.json"), m)
}

// WriteStage writes the record of a stage.
func (d *RunDir) WriteStage(r StageRecord) error {
	r.Version = recordVersion
	dir := filepath.Join(d.path, "stages")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write the record of stage %s: %w", r.Stage, err)
	}
	return writeDocument(filepath.Join(dir, fileName(r.Stage)+".json"), r)
}

func writeDocument(path string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return replaceFile(path, append(content, '\n'))
}

// errOtherVersion says that another voidbox wrote a document.
var errOtherVersion = errors.New("it was written by another version of voidbox")

// readDocument reads a document of a run directory, whose version stands in version once it was read into v.
func readDocument(path string, v any, version *int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err == nil && len(content) > maxRecord {
		err = fmt.Errorf("it is longer than %d bytes", maxRecord)
	}
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(content)).Decode(v)
	}
	if err == nil && version != nil && *version != recordVersion {
		err = errOtherVersion
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return nil
}
