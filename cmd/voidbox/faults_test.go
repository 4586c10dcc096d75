package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testbin"
)

// TestFaultsHaveTheirTests: what docs/faults.md names exists.
func TestFaultsHaveTheirTests(t *testing.T) {
	root := testbin.Root()
	doc := read(t, filepath.Join(root, "docs", "faults.md"))
	tests := regexp.MustCompile("`([a-z0-9/-]+) ((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(doc, -1)
	scripts := regexp.MustCompile("`cmd/voidbox ([a-z_]+\\.txtar)`").FindAllStringSubmatch(doc, -1)
	files := regexp.MustCompile("`([a-z_]+\\.hcl)`").FindAllStringSubmatch(doc, -1)
	if len(tests) < 80 || len(scripts) < 10 || len(files) < 20 {
		t.Fatalf("%d tests, %d scripts and %d files are named", len(tests), len(scripts), len(files))
	}
	for _, m := range tests {
		if !declares(t, filepath.Join(root, m[1]), m[2]) {
			t.Errorf("there is no %s in %s", m[2], m[1])
		}
	}
	for _, m := range scripts {
		exists(t, filepath.Join("testdata", "script", m[1]))
	}
	for _, m := range files {
		exists(t, filepath.Join(root, "core", "config", "testdata", "bad", m[1]))
	}
}

func declares(t *testing.T, dir, name string) bool {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		if strings.Contains(read(t, source), fmt.Sprintf("\nfunc %s(", name)) {
			return true
		}
	}
	return false
}

func exists(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
