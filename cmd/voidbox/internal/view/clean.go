package view

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text of unknown origin fit to print: control characters but newline and tab go, and so do the invisible ones
// that reorder a line (Unicode bidirectional controls). Invalid UTF-8 becomes U+FFFD.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == utf8.RuneError:
			return '\uFFFD'
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, text)
}

// firstLines returns at most n lines of text, each at most width runes, and how many lines were left out.
func firstLines(text string, n, width int) (lines []string, more int) {
	all := strings.Split(strings.TrimRight(clean(text), "\n"), "\n")
	for i, line := range all {
		if i == n {
			return lines, len(all) - n
		}
		lines = append(lines, shorten(line, width))
	}
	return lines, 0
}

// shorten cuts text to width runes, the last of which is an ellipsis when something was cut.
func shorten(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:width-1]) + "…"
}

// Clean returns a writer for a terminal that passes on what is written to it without control characters.
func Clean(w io.Writer) io.Writer { return cleaner{w} }

type cleaner struct{ w io.Writer }

func (c cleaner) Write(p []byte) (int, error) {
	if _, err := io.WriteString(c.w, clean(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
