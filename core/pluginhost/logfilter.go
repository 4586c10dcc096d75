package pluginhost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	maxLogLine  = 16 << 10 // bytes kept of one line
	maxLogAttrs = 32       // attributes kept of one record
	tailLines   = 40       // lines kept for the message about a death
	tailLine    = 512      // bytes kept of each
)

// hclogTime is the format of @timestamp.
const hclogTime = "2006-01-02T15:04:05.000000Z07:00"

// logFilter turns what a plugin prints into records of the host's logger. The bytes are a stranger's: lines are cut, what a
// terminal would obey is replaced, and JSON that is not quite hclog's is text. (go-plugin's own reader panics at {"@message": 1}.)
type logFilter struct {
	log *slog.Logger

	mu   sync.Mutex
	tail []string
	// panicking says that a Go stack trace follows, which belongs in the log whatever the level.
	panicking bool
}

// read consumes r to its end, or until reading fails.
func (f *logFilter) read(r io.Reader) {
	in := bufio.NewReaderSize(r, maxLogLine)
	for {
		line, cut, err := in.ReadLine()
		if len(line) > 0 {
			f.line(line, cut)
		}
		for cut && err == nil {
			_, cut, err = in.ReadLine()
		}
		if err != nil {
			return
		}
	}
}

// Write takes pieces of text from go-plugin's stdio stream.
func (f *logFilter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		f.line(line[:min(len(line), maxLogLine)], len(line) > maxLogLine)
	}
	return len(p), nil
}

func (f *logFilter) line(line []byte, cut bool) {
	rec, ok := parseRecord(line)
	if !ok {
		rec = f.plain(line, cut)
	}
	if rec.Message == "" {
		return
	}
	f.remember(rec)
	ctx := context.Background()
	if handler := f.log.Handler(); handler.Enabled(ctx, rec.Level) {
		// A handler that fails has nobody left to tell.
		_ = handler.Handle(ctx, rec)
	}
}

// plain makes a record of a line that is no record.
func (f *logFilter) plain(line []byte, cut bool) slog.Record {
	text := clean(string(line))
	f.mu.Lock()
	if isPanic(text) && !f.panicking {
		// What went before says less, and must not crowd it out.
		f.panicking, f.tail = true, nil
	}
	level := slog.LevelDebug
	if f.panicking {
		level = slog.LevelError
	}
	f.mu.Unlock()
	rec := slog.NewRecord(time.Now(), level, text, 0)
	if cut {
		rec.AddAttrs(slog.Bool("cut", true))
	}
	return rec
}

// remember keeps the end of the story.
func (f *logFilter) remember(rec slog.Record) {
	text := rec.Message
	rec.Attrs(func(a slog.Attr) bool {
		text += " " + a.Key + "=" + a.Value.String()
		return len(text) < tailLine
	})
	if len(text) > tailLine {
		text = strings.ToValidUTF8(text[:tailLine], "")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// The head of a panic is worth more than the end of its stack trace.
	if f.panicking && len(f.tail) >= tailLines {
		return
	}
	f.tail = append(f.tail, text)
	if len(f.tail) > tailLines {
		f.tail = slices.Delete(f.tail, 0, 1)
	}
}

// lastLines returns what was printed last.
func (f *logFilter) lastLines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tail)
}

var hclogLevels = map[string]slog.Level{
	"trace": slog.LevelDebug - 4,
	"debug": slog.LevelDebug,
	"info":  slog.LevelInfo,
	"warn":  slog.LevelWarn,
	"error": slog.LevelError,
}

// parseRecord reads a record in hclog's JSON form.
func parseRecord(line []byte) (slog.Record, bool) {
	if !bytes.HasPrefix(line, []byte("{")) {
		return slog.Record{}, false
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return slog.Record{}, false
	}
	var message, levelName, stamp string
	if json.Unmarshal(fields["@message"], &message) != nil || json.Unmarshal(fields["@level"], &levelName) != nil {
		return slog.Record{}, false
	}
	level, ok := hclogLevels[levelName]
	if !ok {
		return slog.Record{}, false
	}
	when := time.Now()
	if json.Unmarshal(fields["@timestamp"], &stamp) == nil {
		if t, err := time.Parse(hclogTime, stamp); err == nil {
			when = t
		}
	}
	for _, builtin := range []string{"@message", "@level", "@timestamp", "@module", "@caller"} {
		delete(fields, builtin)
	}
	rec := slog.NewRecord(when, level, clean(message), 0)
	rec.AddAttrs(logAttrs(fields)...)
	return rec, true
}

// logAttrs returns attributes in the order of their names.
func logAttrs(fields map[string]json.RawMessage) []slog.Attr {
	var attrs []slog.Attr
	for key, raw := range fields {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		attrs = append(attrs, slog.String(clean(key), clean(text)))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	return attrs[:min(len(attrs), maxLogAttrs)]
}

// clean replaces what is no text, and what a terminal would obey.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.TrimRight(s, "\r\n"))
}
