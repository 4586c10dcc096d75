package event

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escapeSequence matches what a terminal would act upon: CSI, OSC and two-byte sequences.
var escapeSequence = regexp.MustCompile("\x1b(?:\\[[0-9:;<=>?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[@-Z\\\\^_])")

// Clean makes text of strangers fit for models, terminals and JSON: valid UTF-8, no escape sequences, no control characters
// but newline and tab.
func Clean(s string) string {
	dirty := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if utf8.ValidString(s) && strings.IndexFunc(s, dirty) < 0 {
		return s
	}
	s = escapeSequence.ReplaceAllString(s, "")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case dirty(r):
			return '\uFFFD'
		}
		return r
	}, s)
}
