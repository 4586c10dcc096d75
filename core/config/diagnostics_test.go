package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiagnosticsAsJSON(t *testing.T) {
	_, _, diags := Load(t.Context(), "testdata/bad/cpus_zero.hcl", options())
	got, err := json.Marshal(diags)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"severity":"error","summary":"Invalid value","detail":"\"cpus\" must be between 1 and 255, not 0.",` +
		`"range":{"filename":"testdata/bad/cpus_zero.hcl","start":{"line":3,"column":11,"byte":43},"end":{"line":3,"column":12,"byte":44}},` +
		`"snippet":{"code":"  cpus  = 0","start_line":3,"highlight_start":10,"highlight_end":11}}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestDiagnosticsAsText(t *testing.T) {
	_, _, diags := Load(t.Context(), "testdata/bad/memory_zero.hcl", options())
	var plain, color, narrow strings.Builder
	for _, tc := range []struct {
		w     *strings.Builder
		width uint
		color bool
	}{{&plain, 0, false}, {&color, 0, true}, {&narrow, 20, false}} {
		if err := diags.WriteText(tc.w, tc.width, tc.color); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(plain.String(), "memory = 0") || strings.Contains(plain.String(), "\x1b") {
		t.Errorf("plain: %q", plain.String())
	}
	if !strings.Contains(color.String(), "\x1b[31mError") {
		t.Errorf("color: %q", color.String())
	}
	for _, line := range strings.Split(narrow.String(), "\n") {
		if strings.Contains(line, "must be between") && len(line) > 40 {
			t.Errorf("not wrapped: %q", line)
		}
	}
}

func TestDiagnosticsAsError(t *testing.T) {
	var none Diagnostics
	if none.Err() != nil {
		t.Error("no diagnostics are an error")
	}
	if (Diagnostics{{Severity: SeverityWarning}}).Err() != nil {
		t.Error("a warning is an error")
	}
}

func TestNearest(t *testing.T) {
	names := []string{"image", "main", "memory", "mode"}
	for given, want := range map[string]string{"imagee": "image", "mian": "main", "memroy": "memory", "kernel": "", "x": ""} {
		if got := nearest(given, names); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
