package cassette

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// pattern is what a text of the conversation is held against.
type pattern struct {
	text  string
	match *regexp.Regexp
}

// UnmarshalJSON compiles the pattern.
func (p *pattern) UnmarshalJSON(data []byte) (err error) {
	if err := json.Unmarshal(data, &p.text); err != nil {
		return err
	}
	if len(p.text) > 1 && strings.HasPrefix(p.text, "/") && strings.HasSuffix(p.text, "/") {
		if p.match, err = regexp.Compile("(?s)" + p.text[1:len(p.text)-1]); err != nil {
			return fmt.Errorf("pattern %s: %w", p.text, err)
		}
		return nil
	}
	var b strings.Builder
	for i, literal := range strings.Split(strings.TrimSpace(p.text), "*") {
		if i > 0 {
			b.WriteString(".*")
		}
		b.WriteString(regexp.QuoteMeta(literal))
	}
	p.match, err = regexp.Compile("(?s)^" + b.String() + "$")
	return err
}

// fits tells whether a text is as the pattern wants it. White space around it does not count.
func (p *pattern) fits(text string) bool { return p.match.MatchString(strings.TrimSpace(text)) }
