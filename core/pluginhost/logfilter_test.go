package pluginhost

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestRecords(t *testing.T) {
	for _, tt := range []struct {
		line, message, attrs string
		level                slog.Level
	}{
		{`{"@level":"warn","@message":"low","@timestamp":"2026-01-02T15:04:05.000000Z","b":[1, 2],"a":"x\ny"}`, "low", "a=x\ufffdy b=[1, 2]", slog.LevelWarn},
		{`{"@level":"trace","@message":"fine"}`, "fine", "", slog.LevelDebug - 4},
		{`{"@level":"loud","@message":"what"}`, `{"@level":"loud","@message":"what"}`, "", slog.LevelDebug},
		{`{"@message": 1}`, `{"@message": 1}`, "", slog.LevelDebug},
		{`plain`, "plain", "", slog.LevelDebug},
		{`fatal error: all goroutines are asleep`, "fatal error: all goroutines are asleep", "", slog.LevelError},
	} {
		log := &records{}
		f := &logFilter{log: slog.New(log)}
		f.read(strings.NewReader(tt.line + "\n"))
		if len(log.list) != 1 {
			t.Errorf("%s left %d records", tt.line, len(log.list))
			continue
		}
		rec := log.list[0]
		var attrs []string
		rec.Attrs(func(a slog.Attr) bool { attrs = append(attrs, a.String()); return true })
		if rec.Message != tt.message || rec.Level != tt.level || strings.Join(attrs, " ") != tt.attrs {
			t.Errorf("%s became %s %q %v", tt.line, rec.Level, rec.Message, attrs)
		}
	}
}

func TestTimestampIsThePlugins(t *testing.T) {
	rec, ok := parseRecord([]byte(`{"@level":"info","@message":"m","@timestamp":"2026-01-02T15:04:05.123456Z"}`))
	if want := time.Date(2026, 1, 2, 15, 4, 5, 123456000, time.UTC); !ok || !rec.Time.Equal(want) {
		t.Errorf("time %s", rec.Time)
	}
}

func TestHeadOfAPanicIsKept(t *testing.T) {
	f := &logFilter{log: slog.New(slog.DiscardHandler)}
	var text strings.Builder
	for n := range 100 {
		fmt.Fprintln(&text, "before", n)
	}
	text.WriteString("panic: the cause\n")
	for n := range 100 {
		fmt.Fprintln(&text, "goroutine", n)
	}
	f.read(strings.NewReader(text.String()))
	err := &ExitError{Plugin: "llm-x", Status: "exit status 2", Stderr: f.lastLines()}
	if want := "plugin llm-x died (exit status 2); it said: panic: the cause | goroutine 0 |"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %q", err)
	}
	if len(f.lastLines()) > tailLines {
		t.Errorf("%d lines are kept", len(f.lastLines()))
	}
}

// FuzzLogFilter feeds what a plugin may write. Nothing of it may do harm in a log, on a terminal or to memory.
func FuzzLogFilter(f *testing.F) {
	for _, seed := range []string{
		`{"@message": 1}`, `{"@level":"info","@message":"m","x":{"y":[null]}}`, "panic: x\n\ngoroutine 1", "\x1b[2J\x00\xff", `{"@level":"info","@message":"\u001b[2J"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		log := &records{}
		filter := &logFilter{log: slog.New(log)}
		filter.read(strings.NewReader(string(input)))
		check := func(text string) {
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x07\x1b\n\r") {
				t.Errorf("logged %q", text)
			}
		}
		for _, rec := range log.list {
			check(rec.Message)
			rec.Attrs(func(a slog.Attr) bool {
				check(a.Key)
				check(a.Value.String())
				return true
			})
		}
		for _, line := range filter.lastLines() {
			if check(line); len(line) > tailLine {
				t.Errorf("kept %d bytes of a line", len(line))
			}
		}
	})
}

func TestLinesOfTheStdioStreamAreCut(t *testing.T) {
	log := &records{}
	f := &logFilter{log: slog.New(log)}
	text := strings.Repeat("x", maxLogLine+1) + "\nnext\n"
	if n, err := f.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if len(log.list) != 2 || len(log.list[0].Message) != maxLogLine || log.list[1].Message != "next" {
		t.Errorf("%d records", len(log.list))
	}
}
