package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/core/pluginhost"
)

func TestLockSurvivesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), LockFileName)
	empty, err := LoadLock(path)
	if err != nil || len(empty.Plugins) != 0 {
		t.Fatalf("a lock file that does not exist: %+v, %v", empty, err)
	}
	want := pluginhost.Lock{Plugins: []pluginhost.LockedPlugin{
		{Kind: "llm", Name: "echo", Version: "1.2.3", SHA256: strings.Repeat("ab", 32), Source: "/plugins/with \"quotes\" and ${x}"},
		{Kind: "skill", Name: "mcp", Version: "0.1.0", SHA256: strings.Repeat("01", 32), Source: "p"},
	}, Images: []pluginhost.LockedImage{{Packages: "git,python3", ID: "sha256:" + strings.Repeat("cd", 32)}}}
	for range 2 { // the second time it replaces
		if err := SaveLock(path, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := LoadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("files left beside the lock: %v, %v", entries, err)
	}
}

func TestBadLockFiles(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for name, src := range map[string]string{
		"syntax":    `plugin "llm" {`,
		"hash":      `plugin "llm" "x" { sha256 = "short" }`,
		"no hash":   `plugin "llm" "x" { version = "1" }`,
		"unknown":   `plugin "llm" "x" {` + "\n  sha256 = \"" + sum + "\"\n  sha = \"x\"\n}",
		"duplicate": strings.Repeat(`plugin "llm" "x" { sha256 = "`+sum+"\" }\n", 2),
		"reference": `plugin "llm" "x" { sha256 = var.x }`,
		"block":     `sandbox "x" {}`,
		"image":     `packages "git" { image = "` + sum + `" }`,
		"no image":  `packages "git" {}`,
		"twice":     strings.Repeat(`packages "git" { image = "sha256:`+sum+"\" }\n", 2),
	} {
		path := filepath.Join(t.TempDir(), LockFileName)
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		if lock, err := LoadLock(path); err == nil || !strings.Contains(err.Error(), "line 1") && !strings.Contains(err.Error(), "line 2") && !strings.Contains(err.Error(), "line 3") {
			t.Errorf("%s: lock %+v, error %v", name, lock, err)
		}
	}
}
