package skill

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// frontMatter is the YAML between two lines of dashes at the top of a SKILL.md.
type frontMatter struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	// Rest holds what is none of our business, such as a licence, in its order.
	Rest map[string]any `yaml:",inline"`
}

const fence = "---\n"

// split takes the front matter from the body of a document.
func split(text []byte) (frontMatter, []byte, error) {
	if !utf8.Valid(text) {
		return frontMatter{}, nil, errdef.New(errdef.ErrInvalid, "it is not UTF-8 text")
	}
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	inside, ok := bytes.CutPrefix(text, []byte(fence))
	if !ok {
		return frontMatter{}, text, nil
	}
	yamlText, body, ok := bytes.Cut(inside, []byte("\n"+fence))
	if !ok {
		return frontMatter{}, nil, errdef.New(errdef.ErrInvalid, "its front matter begins with --- and has no line --- at its end")
	}
	var head frontMatter
	if err := yaml.Unmarshal(yamlText, &head); err != nil {
		return frontMatter{}, nil, errdef.New(errdef.ErrInvalid, "its front matter is not valid YAML: %w", err)
	}
	return head, body, nil
}

// rewritten is the document with the name and the description of s.
func (f frontMatter) rewritten(s Skill, body []byte) ([]byte, error) {
	f.Name, f.Description = s.Name, s.Description
	head, err := yaml.Marshal(f)
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{[]byte(fence), head, []byte(fence + "\n"), bytes.TrimLeft(body, "\n")}, nil), nil
}

// firstSentence makes a description of a body: its first line that says something.
func firstSentence(body []byte) string {
	for line := range strings.Lines(string(body)) {
		line = oneLine(strings.TrimLeft(line, "# \t"))
		if line == "" || strings.Trim(line, "-=`*_") == "" {
			continue
		}
		if runes := []rune(line); len(runes) > maxDescription {
			line = string(runes[:maxDescription])
		}
		return line
	}
	return ""
}
