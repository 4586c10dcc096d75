package view

import "github.com/voidbox-run/voidbox/core/event"

// style colours text with SGR sequences (ECMA-48, section 8.3.117), or not at all.
type style struct{ colour bool }

// mark stands for how something ended.
func (s style) mark(status event.Status) string {
	switch status {
	case event.Succeeded:
		return s.good("✓")
	case event.Failed:
		return s.bad("✗")
	}
	return s.warn("■")
}

func (s style) sgr(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(t string) string   { return s.sgr("1", t) }
func (s style) dim(t string) string    { return s.sgr("2", t) }
func (s style) good(t string) string   { return s.sgr("32", t) }
func (s style) bad(t string) string    { return s.sgr("31", t) }
func (s style) warn(t string) string   { return s.sgr("33", t) }
func (s style) accent(t string) string { return s.sgr("36", t) }
