package observe

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
)

func collect(events *[]event.Event) event.Sink {
	return event.SinkFunc(func(e event.Event) { *events = append(*events, e) })
}

func TestRunDirKeepsEventsResultAndArtefacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "run")
	d, err := CreateRunDir(path)
	if err != nil {
		t.Fatal(err)
	}
	scope := event.NewStream("r", d).Root()
	scope.Emit(event.RunStarted{Plan: "p"})
	scope.Emit(event.Text{Text: "piece", Partial: true})
	scope.Emit(event.Text{Text: "whole\nin two lines"})
	if err := d.WriteArtefact(`stage["../../x"]`, "/tmp/../out.md", []byte("content")); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteResult(map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteResult(map[string]int{"a": 2}); err != nil {
		t.Fatal(err)
	}
	if err := d.Err(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	scope.Emit(event.RunStarted{}) // after the end: ignored
	var files []string
	filepath.WalkDir(path, func(p string, e os.DirEntry, _ error) error {
		info, _ := e.Info()
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", p, info.Mode())
		}
		if !e.IsDir() {
			rel, _ := filepath.Rel(path, p)
			files = append(files, rel)
		}
		return nil
	})
	if want := []string{"artefacts/stage_.._.._x-29e14d68/tmp_.._out.md-6d1fc636", "events.jsonl", "result.json"}; !reflect.DeepEqual(files, want) {
		t.Errorf("files %v", files)
	}
	var types []string
	f, _ := os.Open(filepath.Join(path, "events.jsonl"))
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e struct{ Type string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Error(err)
		}
		types = append(types, e.Type)
	}
	if strings.Join(types, " ") != "run_started text" {
		t.Errorf("events %v", types)
	}
	if content, _ := os.ReadFile(filepath.Join(path, "result.json")); string(content) != "{\n  \"a\": 2\n}\n" {
		t.Errorf("result %s", content)
	}
	if _, err := CreateRunDir(path); err == nil {
		t.Error("a directory was used twice")
	}
}

func TestFullRunDirStillSaysHowItEnded(t *testing.T) {
	d, err := CreateRunDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.written = MaxEventsBytes - 10
	scope := event.NewStream("r", d).Root()
	scope.Emit(event.Text{Text: "does not fit"})
	scope.Emit(event.RunFinished{Status: event.Succeeded})
	content, _ := os.ReadFile(filepath.Join(d.Path(), "events.jsonl"))
	if strings.Contains(string(content), "does not fit") || !strings.Contains(string(content), "run_finished") {
		t.Errorf("events.jsonl: %s", content)
	}
	if d.Err() == nil {
		t.Error("nobody is told")
	}
}

func TestWriteErrorIsRememberedAndEndsNothing(t *testing.T) {
	d, err := CreateRunDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	d.events.Close()
	d.events = full
	defer full.Close()
	d.Event(event.Event{Data: event.RunStarted{}})
	d.Event(event.Event{Data: event.RunStarted{}})
	if err := d.Err(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}

func TestRedactReachesEveryString(t *testing.T) {
	r := plan.NewRedactor([]plan.Secret{{Value: "hunter22"}, {Value: "12345678"}})
	var got []event.Event
	scope := event.NewStream("r", Redact(r, collect(&got))).Root().Stage(`each["hunter22"]`)
	for _, data := range []event.Data{
		event.ToolCall{ID: "hunter22", Tool: "x", Arguments: json.RawMessage(`{"hunter22":["a hunter22",{"n":12345678,"h\u0075nter22":1.5}]}`)},
		event.ToolResult{Content: "hunter22hunter22"},
		event.RunFinished{Outputs: map[string]any{"o": []any{"hunter22", 12345678, true, nil}}, Totals: event.Totals{InputTokens: 12345678}},
		event.StageStarted{Needs: []string{"hunter22"}},
		event.StageFinished{Error: "hunter22", Took: time.Second},
	} {
		scope.Emit(data)
	}
	for _, e := range got {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "hunter22") {
			t.Errorf("%s", text)
		}
	}
	if call := string(got[0].Data.(event.ToolCall).Arguments); call != `{"(sensitive)":["a (sensitive)",{"(sensitive)":1.5,"n":"(sensitive)"}]}` {
		t.Errorf("arguments %s", call)
	}
	if f := got[2].Data.(event.RunFinished); f.Totals.InputTokens != 12345678 || f.Outputs["o"].([]any)[1] != plan.Redacted {
		t.Errorf("our own count must stay, a stranger's number not: %+v", f)
	}
	if f := got[4].Data.(event.StageFinished); f.Took != time.Second {
		t.Errorf("%+v", f)
	}
}

func TestSecretInPiecesIsCaught(t *testing.T) {
	r := plan.NewRedactor([]plan.Secret{{Value: "aab-secret"}})
	for _, c := range []struct {
		pieces []string
		want   string
	}{
		{[]string{"x aa", "b-sec", "ret y"}, "x (sensitive) y"},
		{[]string{"a", "a", "ab-secret", "!"}, "a(sensitive)!"},
		{[]string{"aab-", "no, other"}, "aab-no, other"},
		{[]string{"é", "aab-secretaab-secret", " "}, "é(sensitive)(sensitive) "},
	} {
		var got []event.Event
		scope := event.NewStream("r", Redact(r, collect(&got))).Root()
		for _, p := range c.pieces {
			scope.Emit(event.Text{Text: p, Partial: true})
		}
		var text strings.Builder
		for i, e := range got {
			text.WriteString(e.Data.(event.Text).Text)
			if e.Seq != uint64(i+1) {
				t.Errorf("event %d has the number %d", i+1, e.Seq)
			}
		}
		if text.String() != c.want {
			t.Errorf("%q reads %q, want %q", c.pieces, text.String(), c.want)
		}
	}
}

func TestWithoutSecretsNothingIsTouched(t *testing.T) {
	var got []event.Event
	data := event.Text{Text: "x", Partial: true}
	event.NewStream("r", Redact(plan.Redactor{}, collect(&got))).Root().Emit(data)
	if got[0].Data != event.Data(data) {
		t.Errorf("%+v", got)
	}
}
