package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFormat(t *testing.T) {
	for name, tc := range map[string]struct{ file, src, want string }{
		"indentation":                            {"a.hcl", "sandbox \"box\" {\nimage=\"base\"\n    cpus   =   2\n}\n", "sandbox \"box\" {\n  image = \"base\"\n  cpus  = 2\n}\n"},
		"comments":                               {"a.hcl", "locals {\n# why\na=1 # one\n}\n", "locals {\n  # why\n  a = 1 # one\n}\n"},
		"canonical":                              {"a.hcl", "locals {\n  a = 1\n}\n", "locals {\n  a = 1\n}\n"},
		"empty":                                  {"a.hcl", "", ""},
		"unknown names are none of its business": {"a.hcl", "x {\ny=1\n}\n", "x {\n  y = 1\n}\n"},
		"json":                                   {"a.hcl.json", `{"locals":{"b":1,"a":[2]}}`, "{\n  \"locals\": {\n    \"b\": 1,\n    \"a\": [\n      2\n    ]\n  }\n}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, diags := Format([]byte(tc.src), tc.file)
			if err := diags.Err(); err != nil {
				t.Fatal(err)
			}
			if string(got) != tc.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
			again, diags := Format(got, tc.file)
			if err := diags.Err(); err != nil || string(again) != string(got) {
				t.Errorf("formatting twice gives:\n%s (%v)", again, err)
			}
		})
	}
}

func TestFormatRefusesWhatDoesNotParse(t *testing.T) {
	for file, src := range map[string]string{
		"a.hcl":      "sandbox \"box\" {\n  image =\n",
		"a.hcl.json": `{"locals": `,
		"large.hcl":  strings.Repeat("a = 1\n", maxFileBytes/6+1),
		"deep.hcl":   "a = " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "\n",
	} {
		got, diags := Format([]byte(src), file)
		if !diags.HasErrors() || got != nil {
			t.Errorf("%s: formatted to %.100q, diagnostics %v", file, got, diags)
		}
	}
}

// What we ship is formatted.
func TestExamplesAreFormatted(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	good, err := filepath.Glob("testdata/good/*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(append(files, "../../examples/complete/sandbox.hcl"), good...) {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, diags := Format(src, path)
		if err := diags.Err(); err != nil {
			t.Fatal(err)
		}
		if string(got) != string(src) {
			t.Errorf("%s is not formatted; voidbox fmt gives:\n%s", path, got)
		}
	}
}
