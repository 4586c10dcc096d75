package pluginhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/skill"
)

// tickets starts one of the skill plugins of the examples over a directory with ticket 7, a link that leads out, and a full ticket.
func tickets(t *testing.T, install func(t *testing.T, dir string)) (*Instance, string) {
	t.Helper()
	house, dir := newHouse(t), t.TempDir()
	install(t, house.third)
	outside := filepath.Join(t.TempDir(), "secret")
	for path, text := range map[string]string{outside: "secret", filepath.Join(dir, "7.md"): "# Seven\n", filepath.Join(dir, "9.md"): strings.Repeat("x", 64<<10)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "8.md")); err != nil {
		t.Fatal(err)
	}
	host := house.host(t)
	_, err := host.Start(t.Context(), Request{Kind: base.KindSkill, Name: "tickets", Config: []byte(`{"directory": "/nowhere"}`)})
	var findings base.Diagnostics
	if !errors.As(err, &findings) || len(findings) != 1 || findings[0].Path[0] != "directory" || findings[0].Summary != "there is no such directory of tickets" {
		t.Errorf("a directory that is not there: %v", err)
	}
	inst, err := host.Start(t.Context(), Request{Kind: base.KindSkill, Name: "tickets", Config: must(json.Marshal(map[string]string{"directory": dir}))})
	if err != nil {
		t.Fatal(err)
	}
	return inst, dir
}

// TestExampleSkills holds the skill plugins of the examples, which are the same in two languages, against their contract. What a model
// may make up as arguments harms nobody, and is answered.
func TestExampleSkills(t *testing.T) {
	offers := map[string]skill.Resolved{}
	for language, install := range map[string]func(*testing.T, string){
		"go": func(t *testing.T, dir string) { buildExample(t, "skill-tickets", dir) },
		"python": func(t *testing.T, dir string) {
			testbin.RequirePython(t)
			copyFile(t, examples+"skill-tickets-py/voidbox-skill-tickets", filepath.Join(dir, "voidbox-skill-tickets"))
		},
	} {
		t.Run(language, func(t *testing.T) {
			inst, dir := tickets(t, install)
			if info, err := inst.base.Info(t.Context()); err != nil || info.Kind != base.KindSkill || info.Name != "tickets" || len(info.Schema.Attributes) != 1 {
				t.Errorf("%+v, %v", info, err)
			}
			offer, err := inst.Skill().Resolve(t.Context(), "it")
			if err != nil {
				t.Fatal(err)
			}
			for i := range offer.Tools {
				var schema bytes.Buffer
				if err := json.Compact(&schema, offer.Tools[i].InputSchema); err != nil {
					t.Error(err)
				}
				offer.Tools[i].InputSchema = schema.Bytes()
			}
			offers[language] = offer

			for _, call := range []struct{ tool, arguments, want string }{ // an empty want is a failure that the model is told of
				{"show", `{"id": 7}`, "# Seven\n"},
				{"comment", `{"id": 7, "text": "done\nand seen"}`, "commented on ticket 7"},
				{"show", `{"id": 7}`, "# Seven\n\n> done\n> and seen\n"},
				{"show", `{"id": 99}`, ""},
				{"show", `{"id": -1}`, ""},
				{"show", `{"id": "../../etc/passwd"}`, ""},
				{"show", `{"id": 8}`, ""},
				{"show", `{"id": 1e400}`, ""},
				{"show", `[7]`, ""},
				{"show", `{`, ""},
				{"show", strings.Repeat("[", 100_000), ""},
				{"comment", `{"id": 8, "text": "x"}`, ""},
				{"comment", `{"id": 9, "text": "x"}`, ""},
				{"comment", `{"id": 99, "text": "x"}`, ""},
			} {
				result, err := inst.Skill().CallTool(t.Context(), "it", llm.ToolCall{ID: "c", Name: call.tool, Arguments: []byte(call.arguments)})
				if err != nil || result.CallID != "c" || result.Error != (call.want == "") || !result.Error && result.Content != call.want || result.Content == "" {
					t.Errorf("%s %.40s: %+v, %v", call.tool, call.arguments, result, err)
				}
			}
			if _, err := inst.Skill().CallTool(t.Context(), "it", llm.ToolCall{Name: "burn", Arguments: []byte("{}")}); !errors.Is(err, errdef.ErrNotFound) {
				t.Errorf("a tool that is not there: %v", err)
			}
			if left := must(filepath.Glob(dir + "/*")); len(left) != 3 {
				t.Errorf("tickets %v", left)
			}
			if err := inst.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if len(offers) == 2 {
		if diff := cmp.Diff(offers["go"], offers["python"]); diff != "" {
			t.Error(diff)
		}
	}
}

// TestScriptPlugin starts a third-party plugin through a script, which its interpreter reads from the sealed copy: not even a script
// that changes after it was approved runs as anything else.
func TestScriptPlugin(t *testing.T) {
	house := newHouse(t)
	program := installCopy(t, t.TempDir())
	path := filepath.Join(house.third, "voidbox-llm-good")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec '"+program+"' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	host := house.host(t)
	c, err := host.find(base.KindLLM, "good")
	if err != nil {
		t.Fatal(err)
	}
	img, desc, err := host.inspect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	inst, err := host.launch(t.Context(), c, img, desc)
	if err != nil {
		t.Fatal(err)
	}
	if inst, err = host.configure(t.Context(), inst, goodRequest); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), inst, ""); err != nil {
		t.Error(err)
	}
}
