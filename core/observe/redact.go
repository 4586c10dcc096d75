package observe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
)

// maxStreams bounds for how many texts at once the beginning of a possible secret is held back.
const maxStreams = 1024

// Redact returns a sink that hands events to the sinks after every string in them has been cleaned of secrets. It goes by the JSON
// of the payload, so that a field that is added some day is cleaned too. A secret that arrives in two pieces of a text is
// caught as well: the end of a piece that might begin a secret is held back until the next.
func Redact(r plan.Redactor, sinks ...event.Sink) event.Sink {
	return &redactor{redact: r, sinks: sinks, held: map[stream]string{}}
}

type redactor struct {
	redact plan.Redactor
	sinks  []event.Sink
	held   map[stream]string
}

// stream is a text that arrives in pieces.
type stream struct {
	span     string
	thinking bool
}

// Event cleans an event and hands it on. It is called by one goroutine at a time.
func (r *redactor) Event(e event.Event) {
	if text, ok := e.Data.(event.Text); ok {
		e.Data = r.piece(e.Span, text)
	}
	e.Stage = r.redact.String(e.Stage)
	e.Data = redactData(r.redact, e.Data)
	for _, s := range r.sinks {
		s.Event(e)
	}
}

// piece joins a piece with what was held back before it. A whole text repeats its pieces, so that what is held is dropped.
func (r *redactor) piece(span string, text event.Text) event.Text {
	key := stream{span, text.Thinking}
	if !text.Partial {
		delete(r.held, key)
		return text
	}
	text.Text = r.redact.String(r.held[key] + text.Text)
	open := r.redact.Open(text.Text)
	delete(r.held, key)
	if open > 0 && len(r.held) < maxStreams {
		r.held[key] = text.Text[len(text.Text)-open:]
	}
	text.Text = text.Text[:len(text.Text)-open]
	return text
}

// redactData cleans a payload. One that cannot be cleaned is replaced by a warning: silence is better than a secret.
func redactData(r plan.Redactor, data event.Data) event.Data {
	if reflect.DeepEqual(r, plan.Redactor{}) {
		return data
	}
	out := reflect.New(reflect.TypeOf(data))
	if err := redactInto(r, data, out.Interface()); err != nil {
		return event.Warning{Message: fmt.Sprintf("an event of type %s could not be cleaned of secrets and was left out", data.Type())}
	}
	return out.Elem().Interface().(event.Data)
}

// RedactValue returns v with every string in its JSON form cleaned. On an error it returns the zero value.
func RedactValue[T any](r plan.Redactor, v T) (T, error) {
	var out T
	if err := redactInto(r, v, &out); err != nil {
		var zero T
		return zero, fmt.Errorf("clean of secrets: %w", err)
	}
	return out, nil
}

// redactInto goes from v to its JSON form, cleans that, and goes back to out, a pointer to v's type.
func redactInto(r plan.Redactor, v, out any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var tree any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return err
	}
	if text, err = json.Marshal(walk(r, tree, false)); err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// walk cleans a JSON value. Numbers are our own counts, except below fields with values of strangers, where a secret of digits
// may stand as a number.
func walk(r plan.Redactor, v any, strange bool) any {
	switch v := v.(type) {
	case string:
		return r.String(v)
	case json.Number:
		if s := r.String(v.String()); strange && s != v.String() {
			return s
		}
		return v
	case []any:
		for i := range v {
			v[i] = walk(r, v[i], strange)
		}
		return v
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[r.String(key)] = walk(r, value, strange || key == "arguments" || key == "outputs")
		}
		return out
	}
	return v
}
