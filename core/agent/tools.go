package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// A tool is something that the model may call in the native loop. One of ours has params and run; a foreign one, which a skill
// brings along, has a schema that only its owner can hold arguments against, and call.
type tool struct {
	name        string
	description string
	params      []param
	run         func(ctx context.Context, t *toolbox, args arguments) (string, error)

	schema json.RawMessage
	call   func(ctx context.Context, t *toolbox, arguments json.RawMessage) (string, error)
}

type param struct {
	name, kind  string // kind is string or integer
	description string
	required    bool
}

var allTools = []tool{bashTool, readTool, writeTool, editTool}

// ToolNames lists the tools of the native loop.
func ToolNames() []string {
	var names []string
	for _, t := range allTools {
		names = append(names, t.name)
	}
	return names
}

// toolbox is what tools work with: the sandbox, and how the agent is to act in it.
type toolbox struct {
	tools       []tool // that the model may call now
	own         []tool // ours
	all         []tool // ours and those of the sources
	sources     []source
	wanted      []string // tools that the agent names; nil means all
	sandbox     sandbox.Sandbox
	user        string
	dir         string // working directory; absolute
	env         map[string]string
	limits      sandbox.Limits
	shell       string
	outputBytes int
	deadline    time.Duration // of a call that names none
}

// pick returns the tools that are wanted, in the order of tools. Nil wants all.
func pick(tools []tool, wanted []string) []tool {
	if wanted == nil {
		return tools
	}
	var picked []tool
	for _, t := range tools {
		if slices.ContainsFunc(wanted, t.matches) {
			picked = append(picked, t)
		}
	}
	return picked
}

// matches tells whether the tool is meant by a name, which may end in an asterisk.
func (t tool) matches(name string) bool {
	if start, ok := strings.CutSuffix(name, "*"); ok {
		return strings.HasPrefix(t.name, start)
	}
	return t.name == name
}

// unknown finds a name that means no tool.
func unknown(tools []tool, wanted []string) error {
	for _, name := range wanted {
		if !slices.ContainsFunc(tools, func(t tool) bool { return t.matches(name) }) {
			return errdef.New(errdef.ErrInvalid, "there is no tool %q", name).WithRemedy("the tools are %s", strings.Join(names(tools), ", "))
		}
	}
	return nil
}

// definitions describes the tools to the model.
func definitions(tools []tool) []llm.Tool {
	var defs []llm.Tool
	for _, t := range tools {
		if t.schema != nil {
			defs = append(defs, llm.Tool{Name: t.name, Description: t.description, InputSchema: t.schema})
			continue
		}
		properties, required := map[string]any{}, []string{}
		for _, p := range t.params {
			properties[p.name] = map[string]string{"type": p.kind, "description": p.description}
			if p.required {
				required = append(required, p.name)
			}
		}
		schema, _ := json.Marshal(map[string]any{
			"type": "object", "properties": properties, "required": required, "additionalProperties": false,
		})
		defs = append(defs, llm.Tool{Name: t.name, Description: t.description, InputSchema: schema})
	}
	return defs
}

// A toolError is a failure that the model is told about, and may mend.
type toolError struct{ text string }

func (e *toolError) Error() string { return e.text }

func failure(format string, args ...any) error { return &toolError{fmt.Sprintf(format, args...)} }

// verdict sorts errors of the sandbox: what the model can do something about becomes a toolError, everything else ends the run.
func verdict(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, mild := range []error{
		errdef.ErrNotFound, errdef.ErrExists, errdef.ErrPermission, errdef.ErrInvalid, errdef.ErrExhausted, errdef.ErrUnsupported,
	} {
		if errors.Is(err, mild) {
			return failure("%s: %s", what, prefix(err.Error(), 1000))
		}
	}
	return &SandboxError{Err: fmt.Errorf("%s: %w", what, err)}
}

// path makes a path of the model absolute.
func (t *toolbox) path(p string) string {
	if !path.IsAbs(p) {
		p = path.Join(t.dir, p)
	}
	return path.Clean(p)
}

// arguments are checked arguments: strings and ints by name.
type arguments map[string]any

func (a arguments) text(name string) string { s, _ := a[name].(string); return s }
func (a arguments) number(name string) int  { n, _ := a[name].(int); return n }

// check holds a JSON object against the tool's parameters. Its errors speak to the model.
func (t tool) check(object json.RawMessage) (arguments, error) {
	var values map[string]any
	if err := json.Unmarshal(object, &values); err != nil {
		return nil, failure("%v", err)
	}
	args := arguments{}
	var known []string
	for _, p := range t.params {
		known = append(known, p.name)
		v, ok := values[p.name]
		delete(values, p.name)
		if !ok || v == nil {
			if p.required {
				return nil, failure("the argument %q is missing", p.name)
			}
			continue
		}
		value, err := p.value(v)
		if err != nil {
			return nil, err
		}
		args[p.name] = value
	}
	for name := range values {
		return nil, failure("there is no argument %s; the arguments are %s", quote(name), strings.Join(known, ", "))
	}
	return args, nil
}

// value converts v, where it can only mean one thing.
func (p param) value(v any) (any, error) {
	switch v := v.(type) {
	case string:
		if p.kind == "string" {
			return v, nil
		}
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return n, nil
		}
	case float64:
		if p.kind == "integer" && v == math.Trunc(v) && math.Abs(v) < 1<<31 {
			return int(v), nil
		}
	}
	shown, _ := json.Marshal(v)
	return nil, failure("the argument %q must be of type %s, not %s", p.name, p.kind, prefix(clean(string(shown)), 200))
}
