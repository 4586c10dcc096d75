package config

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// walkBlocks calls visit for each block of the language, with the names that lead to it.
func walkBlocks(blocks []*block, path string, visit func(path string, b *block)) {
	for _, b := range blocks {
		p := strings.TrimPrefix(path+" "+b.Type, " ")
		visit(p, b)
		walkBlocks(b.Blocks, p, visit)
	}
}

// docs/language.md has a section for each block, and a row for each argument in it, for each function, reference and result.
func TestLanguageIsDocumented(t *testing.T) {
	src, err := os.ReadFile("../../docs/language.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{} // by block
	heading := regexp.MustCompile("(?m)^##+ (.*)$")
	places := heading.FindAllSubmatchIndex(src, -1)
	for i, at := range places {
		end := len(src)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		sections[strings.ReplaceAll(string(src[at[2]:at[3]]), "`", "")] = string(src[at[1]:end])
	}
	walkBlocks(root.Blocks, "", func(path string, b *block) {
		if strings.HasPrefix(path, "voidbox required_plugins ") {
			path = "voidbox required_plugins"
		}
		section, ok := sections[path]
		if !ok && path == "pipeline output" {
			section, ok = sections["output"]
		}
		if !ok {
			t.Errorf("no section %q", path)
			return
		}
		args := slices.Concat(b.Arguments)
		if b == skillBlock {
			args = slices.Concat(args, fileSkill.Arguments, inlineSkill.Arguments, remoteSkill.Arguments, mcpSkill.Arguments)
		}
		for _, a := range args {
			if !strings.Contains(section, "| `"+a.Name+"` |") {
				t.Errorf("section %q has no row for %q", path, a.Name)
			}
		}
	})
	for _, name := range functionNames() {
		if !strings.Contains(sections["Functions"], "`"+name) {
			t.Errorf("function %s is not documented", name)
		}
	}
	for _, form := range referenceForms {
		if !strings.Contains(sections["References"], "`"+form+"`") {
			t.Errorf("reference %s is not documented", form)
		}
	}
	for name := range resultType.AttributeTypes() {
		if !strings.Contains(sections["Results of stages"], "| `"+name+"` |") {
			t.Errorf("attribute %s of a result is not documented", name)
		}
	}
}

// The blocks of the documentation load.
func TestDocumentedExamplesLoad(t *testing.T) {
	src, err := os.ReadFile("../../docs/language.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllSubmatch(src, -1)
	if len(blocks) == 0 {
		t.Fatal("no examples")
	}
	for _, b := range blocks {
		if _, diags := Format(b[1], "language.md.hcl"); diags.HasErrors() {
			t.Errorf("%s\n%v", b[1], diags)
		}
	}
	// The first one is a whole file.
	if _, diags := loadText(t, string(blocks[0][1]), options()); diags.HasErrors() {
		t.Error(diags)
	}
}

func TestLanguageSchema(t *testing.T) {
	js, err := json.Marshal(LanguageSchema())
	if err != nil {
		t.Fatal(err)
	}
	var got Language
	if err := json.Unmarshal(js, &got); err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, b := range got.Blocks {
		types = append(types, b.Type)
	}
	if want := []string{"voidbox", "variable", "locals", "secret", "profile", "sandbox", "llm", "skill", "agent", "pipeline", "output"}; !slices.Equal(types, want) {
		t.Errorf("blocks %v", types)
	}
	if !slices.Contains(got.Functions, "jsonencode") || slices.Contains(got.Functions, "env") {
		t.Errorf("functions %v", got.Functions)
	}
	walkBlocks(got.Blocks, "", func(path string, b *block) {
		if b.Doc == "" && b.Type != "file" {
			t.Errorf("%s has no description", path)
		}
		for _, a := range b.Arguments {
			if a.Doc == "" || a.Type == "" {
				t.Errorf("%s.%s has no description or type", path, a.Name)
			}
		}
	})
}
