package benchtable

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := Median(tt.values); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.values, got, tt.want)
		}
	}
}

func TestCompare(t *testing.T) {
	row := Compare("start", "ms", "other", []float64{2, 4, 3}, []float64{6, 6})
	if row.Ours != 3 || row.Peer != 6 || row.Ratio != 0.5 || row.Runs != 2 {
		t.Errorf("row %+v", row)
	}
	if got := Compare("start", "ms", "none", []float64{1}, nil).Ratio; got != 0 {
		t.Errorf("ratio to nothing is %v", got)
	}
}

func TestWriteMerges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench", "run.json")
	for _, rows := range [][]Row{
		{{Name: "a", Ours: 1}, {Name: "b", Ours: 2}},
		{{Name: "b", Ours: 3}, {Name: "c", Ours: 4}},
	} {
		if err := Write(path, rows); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 || rows[0].Ours != 1 || rows[1].Ours != 3 || rows[2].Ours != 4 {
		t.Errorf("rows %+v", rows)
	}
}

func TestWriteKeepsWhatItCannotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.json")
	if err := os.WriteFile(path, []byte("not a table"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []Row{{Name: "a"}}); err == nil {
		t.Error("a file that is no table was replaced")
	}
}

func TestTable(t *testing.T) {
	got := Table([]Row{{Name: "start", Unit: "ms", Ours: 8, Peer: 7.5, PeerName: "go-plugin", Ratio: 1.067, Goal: AtMost(1.2), Runs: 40}})
	if !strings.Contains(got, "start") || !strings.Contains(got, "1.067") || !strings.Contains(got, "go-plugin") {
		t.Errorf("table:\n%s", got)
	}
}

func TestMet(t *testing.T) {
	for _, tt := range []struct {
		ratio  float64
		demand string
		want   bool
	}{
		{1.1, AtMost(1.2), true}, {1.3, AtMost(1.2), false}, {0.9, AtLeast(0.8), true}, {0.7, AtLeast(0.8), false},
		{9, "", true}, {1, "about 1", false},
	} {
		if got := (Row{Ratio: tt.ratio}).Met(tt.demand); got != tt.want {
			t.Errorf("%v %q: met = %v", tt.ratio, tt.demand, got)
		}
	}
}
