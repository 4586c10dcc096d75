package startbench

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRun runs the benchmark for a moment, so that it does not rot. It judges no speed.
func TestRun(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "voidbox-llm-echo")
	build := exec.Command("go", "build", "-C", "../../../examples/plugins/llm-echo", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	rows, err := Run(t.Context(), binary, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 {
		t.Fatalf("rows %+v", rows)
	}
	for _, row := range rows {
		if row.Ours <= 0 || row.Peer <= 0 || row.Ratio <= 0 || row.Runs != 1 {
			t.Errorf("row %+v", row)
		}
	}
}
