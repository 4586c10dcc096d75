package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/voidbox-run/voidbox/core/plan"
)

// Severities of a diagnostic.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// Diagnostics is what loading found. As an error it is the text of all of them, with source.
type Diagnostics []Diagnostic

// Diagnostic is one finding. It marshals to JSON as `validate --json` prints it.
type Diagnostic struct {
	Severity string   `json:"severity"`
	Summary  string   `json:"summary"`
	Detail   string   `json:"detail,omitempty"`
	Range    *Range   `json:"range,omitempty"`
	Snippet  *Snippet `json:"snippet,omitempty"`

	cause *hcl.Diagnostic
	files map[string]*hcl.File
}

// Range is a place in a file. End is exclusive.
type Range struct {
	Filename string `json:"filename"`
	Start    Pos    `json:"start"`
	End      Pos    `json:"end"`
}

// Pos is a position: line and column count from 1, byte from 0.
type Pos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// Snippet is the source that a diagnostic is about: whole lines, and which bytes of them are meant.
type Snippet struct {
	Code           string `json:"code"`
	StartLine      int    `json:"start_line"`
	HighlightStart int    `json:"highlight_start"`
	HighlightEnd   int    `json:"highlight_end"`
}

// HasErrors tells whether one of them is an error, not only a warning.
func (d Diagnostics) HasErrors() bool {
	for _, diag := range d {
		if diag.Severity == SeverityError {
			return true
		}
	}
	return false
}

// Err returns d as an error, or nil when there is no error among them.
func (d Diagnostics) Err() error {
	if !d.HasErrors() {
		return nil
	}
	return d
}

func (d Diagnostics) Error() string {
	var b strings.Builder
	if err := d.WriteText(&b, 0, false); err != nil {
		return fmt.Sprintf("render diagnostics: %v", err)
	}
	return strings.TrimSpace(b.String())
}

// WriteText renders them for people, with source. Width 0 does not wrap.
func (d Diagnostics) WriteText(w io.Writer, width uint, color bool) error {
	for _, diag := range d {
		if err := hcl.NewDiagnosticTextWriter(w, diag.files, width, color).WriteDiagnostic(diag.cause); err != nil {
			return err
		}
	}
	return nil
}

// Bounds on what is reported, so that a hostile file is not multiplied by its own errors.
const (
	maxDiagnostics = 50
	maxSnippet     = 4 << 10
)

// newDiagnostics converts HCL's findings: repeated ones are dropped, since a template is checked once per use, and secrets are
// redacted, in case a message quotes a value.
func newDiagnostics(diags hcl.Diagnostics, files *fileSet, secrets []plan.Secret) Diagnostics {
	redact := plan.NewRedactor(secrets)
	seen := map[string]bool{}
	var out Diagnostics
	for i, d := range diags {
		if len(out) == maxDiagnostics {
			more := nowhere("Too many findings", "%d more are not shown.", len(diags)-i)
			return append(out, Diagnostic{Severity: SeverityError, Summary: more.Summary, Detail: more.Detail, cause: more})
		}
		key := fmt.Sprint(d.Severity, d.Summary, d.Detail, d.Subject)
		if seen[key] {
			continue
		}
		seen[key] = true
		cause := *d
		cause.Summary, cause.Detail = redact.String(d.Summary), redact.String(d.Detail)
		diag := Diagnostic{Severity: SeverityError, Summary: cause.Summary, Detail: cause.Detail, cause: &cause, files: files.parsed}
		if d.Severity == hcl.DiagWarning {
			diag.Severity = SeverityWarning
		}
		if d.Subject != nil {
			diag.Range = newRange(*d.Subject)
			diag.Snippet = newSnippet(files.parsed[d.Subject.Filename], *d.Subject)
		}
		out = append(out, diag)
	}
	return out
}

func newRange(r hcl.Range) *Range {
	return &Range{
		Filename: r.Filename,
		Start:    Pos{Line: r.Start.Line, Column: r.Start.Column, Byte: r.Start.Byte},
		End:      Pos{Line: r.End.Line, Column: r.End.Column, Byte: r.End.Byte},
	}
}

func newSnippet(file *hcl.File, r hcl.Range) *Snippet {
	if file == nil || !r.CanSliceBytes(file.Bytes) {
		return nil
	}
	src := file.Bytes
	start := bytes.LastIndexByte(src[:r.Start.Byte], '\n') + 1
	end := len(src)
	if i := bytes.IndexByte(src[r.End.Byte:], '\n'); i >= 0 {
		end = r.End.Byte + i
	}
	if end-start > maxSnippet {
		return nil
	}
	return &Snippet{
		Code:           string(src[start:end]),
		StartLine:      r.Start.Line,
		HighlightStart: r.Start.Byte - start,
		HighlightEnd:   r.End.Byte - start,
	}
}

// at returns an error diagnostic about a place.
func at(r hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &r}
}

// nowhere returns an error diagnostic that concerns no place in a file.
func nowhere(summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...)}
}

// place renders a range for use within a sentence.
func place(r hcl.Range) string {
	return fmt.Sprintf("%s:%d,%d", r.Filename, r.Start.Line, r.Start.Column)
}
