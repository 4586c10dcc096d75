package agent

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRepair(t *testing.T) {
	for in, want := range map[string]string{
		``:                                    `{}`,
		"  \n":                                `{}`,
		`{"a": 1}`:                            `{"a":1}`,
		"```json\n{\"a\": 1}\n```":            `{"a":1}`,
		"```\n{\"a\": 1,}\n```":               `{"a":1}`,
		`"{\"a\": \"x\\ny\"}"`:                `{"a":"x\ny"}`,
		"{\"a\": \"x\ny\tz\"}":                `{"a":"x\u000ay\u0009z"}`,
		`{"a": [1, 2, ], "b": {"c": 3, }, }`:  `{"a":[1,2],"b":{"c":3}}`,
		`{"a": "keep ,} and ,] in strings",}`: `{"a":"keep ,} and ,] in strings"}`,
		`{"a": [1, {"b": 2`:                   `{"a":[1,{"b":2}]}`,
		`{"a": "x\"y"`:                        `{"a":"x\"y"}`,
	} {
		got, err := repair(json.RawMessage(in), false)
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		`{"a": "x`, `{"a": x}`, `{a: 1}`, `{'a': 1}`, `[1]`, `null`, `7`, `{"a": 1} {"a": 2}`, `{"a": 1]`, `{"a": "\d"}`, "{\"a\": \"\xff\"}", `"text"`, "```", `{"a"`, `{"a":`,
	} {
		if got, err := repair(json.RawMessage(in), false); err == nil {
			t.Errorf("%s was taken for %s", in, got)
		}
	}
	if got, err := repair(json.RawMessage(`{"a": 1`), true); err == nil {
		t.Errorf("an answer that was cut became %s", got)
	}
}

func FuzzRepair(f *testing.F) {
	f.Add([]byte("```json\n{\"a\": [1,],}\n```"), false)
	f.Add([]byte(`"{\"a\": {"`), true)
	f.Fuzz(func(t *testing.T, raw []byte, cut bool) {
		got, err := repair(raw, cut)
		if err != nil {
			return
		}
		var object map[string]any
		if json.Unmarshal(got, &object) != nil || object == nil {
			t.Errorf("%q became %q, which is no object", raw, got)
		}
		if json.Unmarshal(raw, &object) == nil && !json.Valid(got) {
			t.Errorf("%q was broken: %q", raw, got)
		}
	})
}

func TestHeadTailKeepsBothEnds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("aé中🙂\n")
	for range 2000 {
		var text []rune
		for range rng.IntN(120) {
			text = append(text, alphabet[rng.IntN(len(alphabet))])
		}
		whole, limit := string(text), 8+rng.IntN(60)
		h := newHeadTail(limit)
		for rest := whole; rest != ""; {
			n := 1 + rng.IntN(len(rest))
			h.Write([]byte(rest[:n])) // may cut a rune
			rest = rest[n:]
		}
		got := h.String()
		if !utf8.ValidString(got) || strings.ContainsRune(got, utf8.RuneError) {
			t.Fatalf("a rune was cut: %q of %q", got, whole)
		}
		if len(whole) <= limit-limit%2 {
			if got != whole {
				t.Fatalf("%q became %q within the limit of %d", whole, got, limit)
			}
			continue
		}
		head, tail, found := cutNote(got)
		if !found || !strings.HasPrefix(whole, head) || !strings.HasSuffix(whole, tail) || len(head)+len(tail) > limit {
			t.Fatalf("limit %d: %q became %q", limit, whole, got)
		}
		if want := fmt.Sprintf("%d bytes", len(whole)-len(head)-len(tail)); !strings.Contains(got, want) {
			t.Fatalf("%q does not count %s", got, want)
		}
	}
}

// cutNote takes the note on missing bytes from between head and tail.
func cutNote(s string) (head, tail string, found bool) {
	head, rest, found := strings.Cut(s, "\n[... ")
	_, tail, ended := strings.Cut(rest, " bytes left out ...]\n")
	return head, tail, found && ended
}

func TestHeadTailOfBinaryStaysWithinReason(t *testing.T) {
	h := newHeadTail(100)
	for range 1000 {
		h.Write([]byte{0, 1, 2, 255, 254})
	}
	if got := h.String(); len(got) > 200 || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestReplaceOnce(t *testing.T) {
	for _, c := range []struct{ text, old, new, want, err string }{
		{"one two three", "two", "2", "one 2 three", ""},
		{"a\nb\na\n", "a\n", "", "", "in lines 1 and 3"},
		{"aaa", "aa", "b", "", "more than once"},
		{"x", "y", "z", "", `does not occur in the file: "y"`},
		{"if x {\n\ty()\n}", "if x {\n    y()\n}", "z", "", "other white space"},
		{"x", "", "z", "", "use write"},
		{"$1", "$1", "${0}", "${0}", ""},
	} {
		got, err := replaceOnce(c.text, c.old, c.new)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
	if got := lineEndings("a\r\nb\r\n", "a\nb"); got != "a\r\nb" {
		t.Errorf("%q", got)
	}
	if got := lineEndings("a\r\nb\n", "a\nb"); got != "a\nb" {
		t.Errorf("a file of mixed line endings: %q", got)
	}
}

func TestReadLines(t *testing.T) {
	numbered := "1\n22\n333\n4444"
	for _, c := range []struct {
		text                string
		first, count, limit int
		want                string
	}{
		{numbered, 1, 0, 100, numbered},
		{numbered, 2, 2, 100, "22\n333\n"},
		{numbered, 4, 9, 100, "4444"},
		{numbered, 1, 0, 6, "1\n22\n[... cut here; the next line is 3]"},
		{numbered, 5, 0, 100, "!fewer than 5 lines"},
		{"ééé", 1, 0, 3, "é\uFFFD"[:2] + "\n[... line 1 is longer than 3 bytes and was cut]"},
		{"", 1, 0, 10, ""},
		{"a\x00b", 1, 0, 10, "!binary file"},
		{strings.Repeat("x", 100_000) + "\ny", 2, 0, 10, "y"},
		{"\x1b[31mred\n", 1, 0, 100, "red\n"},
	} {
		got, err := readLines(strings.NewReader(c.text), c.first, c.count, c.limit)
		if problem, ok := strings.CutPrefix(c.want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("%.20q: %v", c.text, err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%.20q from %d: %q, %v, want %q", c.text, c.first, got, err, c.want)
		}
	}
}

func TestLineWriter(t *testing.T) {
	var lines []string
	w := &lineWriter{limit: 5, line: func(line []byte) error { lines = append(lines, string(line)); return nil }}
	for _, piece := range []string{"on", "e\n\ntwo\r\n", "far too long\nthr", "ee\nway ", "too long"} {
		w.Write([]byte(piece))
	}
	w.flush()
	if strings.Join(lines, ",") != "one,two,three" || w.dropped != 2 {
		t.Errorf("%q, %d dropped", lines, w.dropped)
	}
}
