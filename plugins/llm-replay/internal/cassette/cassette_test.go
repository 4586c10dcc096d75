package cassette

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		fits          bool
	}{
		{"*", "anything\nat all", true}, {"", "", true}, {"", "x", false}, {"a.c", "a.c\n", true}, {"a.c", "abc", false},
		{"Linux * x86_64", "Linux a b x86_64", true}, {"Linux *", "linux x", false}, {"/^b/", "abc", false}, {"/b/", "abc", true},
		{"/a.c/", "a\nc", true}, {"/", "/", true},
	} {
		var p pattern
		text, _ := json.Marshal(c.pattern)
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatal(err)
		}
		if p.fits(c.text) != c.fits {
			t.Errorf("%q fits %q: %v", c.pattern, c.text, !c.fits)
		}
	}
}

// TestExamples reads every cassette of the repository's examples.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../../../examples/cassettes/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if _, err := Load(file); err != nil {
			t.Error(err)
		}
	}
}

func FuzzCassette(f *testing.F) {
	seed, err := os.ReadFile("../replay/testdata/conformance.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, "plugintest: say the word")
	f.Add([]byte(`{"voidbox_cassette":1,"conversations":[{"turns":[{"text":"{{ prompt }}","tools":[{"name":"x","arguments":{"a":["{{last}}"]}}]}]}]}`), "p")
	f.Fuzz(func(t *testing.T, text []byte, prompt string) {
		c, err := Parse(text)
		if err != nil || strings.Contains(string(text), "range") {
			return
		}
		NewPlayer(c).Next(llm.Request{Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: prompt}}}}})
	})
}
