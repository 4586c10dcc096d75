package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// repair returns the arguments of a call as a JSON object. Models write JSON that is slightly off; what can be meant in one
// way only is mended: nothing at all, a Markdown fence, an object inside a JSON string, control characters inside strings,
// commas before a closing bracket, closing brackets that are missing at the very end. Everything else is an error.
// With cut, the model was stopped while it wrote, and nothing that is missing may be made up.
func repair(raw json.RawMessage, cut bool) (json.RawMessage, error) {
	text := strings.TrimSpace(string(raw))
	if text == "" {
		return json.RawMessage("{}"), nil
	}
	if object, err := asObject(text); err == nil {
		return object, nil
	}
	text = unfence(text)
	var inner string
	if json.Unmarshal([]byte(text), &inner) == nil {
		text = unfence(strings.TrimSpace(inner))
	}
	mended, closing := mend(text)
	if closing != "" && cut {
		return nil, fmt.Errorf("the arguments end too early, because the answer was cut off at its output limit")
	}
	object, err := asObject(mended + closing)
	if err != nil {
		_, original := asObject(strings.TrimSpace(string(raw)))
		return nil, original
	}
	return object, nil
}

// asObject demands one JSON object and nothing after it.
func asObject(text string) (json.RawMessage, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("the arguments are not valid UTF-8")
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		if strings.HasPrefix(err.Error(), "json: cannot unmarshal") {
			return nil, fmt.Errorf("the arguments must be a JSON object")
		}
		return nil, fmt.Errorf("the arguments are not valid JSON: %w", err)
	}
	if object == nil {
		return nil, fmt.Errorf("the arguments must be a JSON object, not null")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(text)); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

func unfence(text string) string {
	body, ok := strings.CutPrefix(text, "```")
	if !ok {
		return text
	}
	body, ok = strings.CutSuffix(body, "```")
	if !ok {
		return text
	}
	body = strings.TrimPrefix(body, "json")
	return strings.TrimSpace(body)
}

// mend walks over text once. It returns it with control characters in strings escaped and trailing commas dropped, and the
// brackets that are still open at its end, outermost last. A string that is still open is not closed: what it would have said
// is unknown.
func mend(text string) (mended, closing string) {
	var out strings.Builder
	var open []byte
	inString, escaped := false, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if inString {
			switch {
			case escaped:
				escaped = false
			case c == '\\':
				escaped = true
			case c == '"':
				inString = false
			case c < ' ':
				fmt.Fprintf(&out, `\u%04x`, c)
				continue
			}
			out.WriteByte(c)
			continue
		}
		switch c {
		case '"':
			inString = true
		case '{':
			open = append(open, '}')
		case '[':
			open = append(open, ']')
		case '}', ']':
			if len(open) > 0 && open[len(open)-1] == c {
				open = open[:len(open)-1]
			}
		case ',':
			if rest := strings.TrimLeft(text[i+1:], " \t\r\n"); rest != "" && (rest[0] == '}' || rest[0] == ']') {
				continue
			}
		}
		out.WriteByte(c)
	}
	if inString {
		return text, ""
	}
	for i := len(open) - 1; i >= 0; i-- {
		closing += string(open[i])
	}
	return out.String(), closing
}

// asJSON is raw if it is JSON, else raw as a JSON string, so that an event can always be written.
func asJSON(raw json.RawMessage) json.RawMessage {
	if json.Valid(raw) {
		return raw
	}
	quoted, _ := json.Marshal(clean(string(raw)))
	return quoted
}
