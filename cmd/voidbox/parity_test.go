package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testbin"
)

// TestParityNamesWhatExists: the tests and examples that docs/parity.md names exist, each row has a state, and what is green has a test.
func TestParityNamesWhatExists(t *testing.T) {
	root := testbin.Root()
	test := regexp.MustCompile("`([a-z0-9/-]+) ((?:Test|Fuzz)[A-Za-z0-9]+)`")
	script := regexp.MustCompile("`(?:cmd/voidbox )?([a-z_]+\\.txtar)`")
	refused := regexp.MustCompile("`([a-z_]+\\.hcl)`")
	rows := 0
	for line := range strings.Lines(read(t, filepath.Join(root, "docs", "parity.md"))) {
		for _, m := range regexp.MustCompile(`examples/[a-z_/]+\.(?:hcl|go)`).FindAllString(line, -1) {
			exists(t, filepath.Join(root, m))
		}
		cells := strings.Split(line, " | ")
		if id, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " "); len(cells) < 2 || !regexp.MustCompile(`^[CWV]\d+$`).MatchString(id) {
			continue
		}
		rows++
		if len(cells) != 5 {
			t.Errorf("%d cells, not 5: %s", len(cells), line)
			continue
		}
		state, held := cells[3], cells[4]
		tests, scripts := test.FindAllStringSubmatch(held, -1), script.FindAllStringSubmatch(held, -1)
		if word := regexp.MustCompile(`^(green|part|not yet)\b`).FindString(state); word == "" || word == "green" && len(tests)+len(scripts) == 0 {
			t.Errorf("state %q, held by %q", state, held)
		}
		for _, m := range tests {
			if m[1] == "voidbox" { // the library
				m[1] = "."
			}
			if !declares(t, filepath.Join(root, m[1]), m[2]) {
				t.Errorf("there is no %s in %s", m[2], m[1])
			}
		}
		for _, m := range scripts {
			exists(t, filepath.Join("testdata", "script", m[1]))
		}
		for _, m := range refused.FindAllStringSubmatch(held, -1) {
			exists(t, filepath.Join(root, "core", "config", "testdata", "bad", m[1]))
		}
	}
	if rows != 13+11+13 {
		t.Errorf("%d rows", rows)
	}
}
