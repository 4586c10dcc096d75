package sdk

import (
	"io"
	"log/slog"
)

// logTimeFormat is hclog's format in JSON. A host that follows go-plugin takes a line with any other for plain text of level
// debug, without a word about it.
const logTimeFormat = "2006-01-02T15:04:05.000000Z07:00"

// newLogHandler writes records as hclog does in JSON, one a line. Level is debug, info, warn or error; anything else means info.
func newLogHandler(w io.Writer, level string) slog.Handler {
	var lowest slog.Level
	if err := lowest.UnmarshalText([]byte(level)); err != nil {
		lowest = slog.LevelInfo
	}
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: lowest, ReplaceAttr: hclogAttr})
}

// hclogAttr renames the built-in attributes. A caller's attribute that happens to have a built-in's name keeps it when its
// type tells it apart.
func hclogAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch {
	case a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime:
		return slog.String("@timestamp", a.Value.Time().Format(logTimeFormat))
	case a.Key == slog.MessageKey && a.Value.Kind() == slog.KindString:
		return slog.String("@message", a.Value.String())
	case a.Key == slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String("@level", hclogLevel(level))
		}
	}
	return a
}

// hclogLevel rounds to the levels that hclog knows.
func hclogLevel(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}
