package cassette

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

// maxText bounds what a template makes.
const maxText = 4 << 20

// facts are what templates may quote.
type facts struct {
	prompt  string
	results map[string]string // by id of the call
	last    string
}

// functions of templates, over facts.
func (f facts) functions() template.FuncMap {
	return template.FuncMap{
		"prompt": func(re ...string) (string, error) { return capture(f.prompt, "the prompt", re) },
		"last":   func(re ...string) (string, error) { return capture(f.last, "the last result", re) },
		"tool": func(id string, re ...string) (string, error) {
			result, ok := f.results[id]
			if !ok {
				return "", fmt.Errorf("no tool with the id %q has answered", id)
			}
			return capture(result, fmt.Sprintf("the result of %q", id), re)
		},
	}
}

// capture returns text, or the part of it that the regular expression names.
func capture(text, what string, re []string) (string, error) {
	text = strings.TrimSpace(text)
	if len(re) == 0 {
		return text, nil
	}
	if len(re) > 1 {
		return "", fmt.Errorf("at most one regular expression can be given")
	}
	match, err := regexp.Compile(re[0])
	if err != nil {
		return "", err
	}
	groups := match.FindStringSubmatch(text)
	if groups == nil {
		return "", fmt.Errorf("%s does not match %s: %s", what, re[0], shorten(text))
	}
	if len(groups) > 1 {
		return groups[1], nil
	}
	return groups[0], nil
}

func parse(text string, f facts) (*template.Template, error) {
	return template.New("text").Funcs(f.functions()).Parse(text)
}

// expand fills a template in.
func (f facts) expand(text string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := parse(text, f)
	if err != nil {
		return "", err
	}
	out := &bounded{}
	if err := t.Execute(out, nil); err != nil {
		return "", err
	}
	return out.String(), nil
}

// expandAll fills in every string of a JSON value.
func (f facts) expandAll(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return f.expand(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = f.expandAll(v[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			var err error
			if out[key], err = f.expandAll(value); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// quoted finds which calls a template quotes.
var quoted = regexp.MustCompile("\\btool\\s+(?:\"([^\"]*)\"|`([^`]*)`)")

// checkTemplate finds mistakes that can be found before anything is played.
func checkTemplate(text string, ids map[string]bool) error {
	if !strings.Contains(text, "{{") {
		return nil
	}
	if _, err := parse(text, facts{}); err != nil {
		return err
	}
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		if id := m[1] + m[2]; !ids[id] {
			return fmt.Errorf("the text quotes the tool %q, which was not called before", id)
		}
	}
	return nil
}

func checkTemplates(v any, ids map[string]bool) error {
	switch v := v.(type) {
	case string:
		return checkTemplate(v, ids)
	case []any:
		for _, x := range v {
			if err := checkTemplates(x, ids); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, x := range v {
			if err := checkTemplates(x, ids); err != nil {
				return err
			}
		}
	}
	return nil
}

type bounded struct{ strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxText {
		return 0, fmt.Errorf("the text is longer than %d bytes", maxText)
	}
	return b.Builder.Write(p)
}

// shorten keeps the beginning of a text for a message.
func shorten(s string) string {
	const most = 600
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q...", strings.ToValidUTF8(s[:most], ""))
}
