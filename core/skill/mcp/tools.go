package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Tool is a tool of a server.
type Tool struct {
	Name        string
	Description string
	Schema      json.RawMessage // of its arguments: an object
}

// Tools are those that the server has now. Notes say what was passed over, and what has changed since they were last asked for.
func (c *Client) Tools(ctx context.Context) (tools []Tool, notes []string) {
	if c.changed.Swap(false) {
		ctx, cancel := context.WithTimeout(ctx, startTime)
		defer cancel()
		if err := c.list(ctx); err != nil && ctx.Err() == nil {
			c.note("it has changed its tools, and does not say which it has now: %s", reason(err))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	notes, c.notes = c.notes, nil
	return c.tools, notes
}

// Instructions are what the server says about itself, bounded.
func (c *Client) Instructions() string {
	if init := c.session.InitializeResult(); init != nil {
		return cut(init.Instructions, maxDescription)
	}
	return ""
}

func (c *Client) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// list asks for the tools, page by page.
func (c *Client) list(ctx context.Context) error {
	var listed []*mcp.Tool
	params := &mcp.ListToolsParams{}
	for range maxPages {
		page, err := c.session.ListTools(ctx, params)
		if err != nil {
			return err
		}
		if listed = append(listed, page.Tools...); len(listed) > MaxTools {
			return fmt.Errorf("it has more than %d tools", MaxTools)
		}
		if page.NextCursor == "" {
			c.take(listed)
			return nil
		}
		params = &mcp.ListToolsParams{Cursor: page.NextCursor}
	}
	return fmt.Errorf("its list of tools does not end")
}

// take remembers the tools that can be used.
func (c *Client) take(listed []*mcp.Tool) {
	var tools []Tool
	var passed []string
	seen := map[string]bool{}
	for _, l := range listed {
		if l == nil || seen[l.Name] || c.server.Tools != nil && !slices.Contains(c.server.Tools, l.Name) {
			continue
		}
		seen[l.Name] = true
		schema, err := schemaOf(l)
		if err != nil {
			passed = append(passed, fmt.Sprintf("its tool %.100q is left out: %v", l.Name, err))
			continue
		}
		tools = append(tools, Tool{Name: l.Name, Description: cut(l.Description, maxDescription), Schema: schema})
	}
	for _, name := range c.server.Tools {
		if !seen[name] {
			passed = append(passed, fmt.Sprintf("it has no tool %.100q", name))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, passed...)
	if c.tools != nil {
		c.notes = append(c.notes, difference(c.tools, tools)...)
	}
	c.tools = tools
}

// schemaOf is the schema of a tool's arguments.
func schemaOf(t *mcp.Tool) (json.RawMessage, error) {
	if t.Name == "" || len(t.Name) > maxToolName {
		return nil, fmt.Errorf("its name must have 1 to %d bytes", maxToolName)
	}
	object, ok := t.InputSchema.(map[string]any)
	if !ok || object["type"] != "object" {
		return nil, errors.New("the schema of its arguments is not that of an object")
	}
	schema, err := json.Marshal(object)
	if err == nil && len(schema) > maxSchema {
		err = fmt.Errorf("the schema of its arguments is larger than %d bytes", maxSchema)
	}
	return schema, err
}

// difference says in words what has changed between two lists of tools.
func difference(before, after []Tool) []string {
	was := map[string]Tool{}
	for _, t := range before {
		was[t.Name] = t
	}
	var changes []string
	for _, t := range after {
		old, ok := was[t.Name]
		delete(was, t.Name)
		switch {
		case !ok:
			changes = append(changes, "has "+t.Name+" now")
		case old.Description != t.Description || string(old.Schema) != string(t.Schema):
			changes = append(changes, "describes "+t.Name+" otherwise")
		}
	}
	for _, t := range before {
		if _, gone := was[t.Name]; gone {
			changes = append(changes, "has "+t.Name+" no more")
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return []string{cut("it has changed its tools: it "+strings.Join(changes, ", "), maxDescription)}
}

// Call calls a tool. An error says that there was no answer, or one that is an error of the protocol; the server may still be of
// use then. def is the deadline of a server that has none of its own.
func (c *Client) Call(ctx context.Context, tool string, arguments json.RawMessage, def time.Duration) (Result, error) {
	deadline := c.server.Timeout
	if deadline <= 0 {
		deadline = def
	}
	callCtx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	answer, err := c.session.CallTool(callCtx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	var refused *jsonrpc.Error
	switch {
	case err == nil:
		return resultOf(answer), nil
	case ctx.Err() != nil:
		return Result{}, context.Cause(ctx)
	case callCtx.Err() != nil:
		return Result{}, fmt.Errorf("MCP server %s did not answer within %v", c.server.Name, deadline)
	case errors.As(err, &refused):
		return Result{}, fmt.Errorf("MCP server %s answers with an error: %s", c.server.Name, cut(refused.Message, 1000))
	}
	return Result{}, fmt.Errorf("MCP server %s is lost: %s%s", c.server.Name, reason(c.lost(err)), c.printed())
}

// cut shortens a text to so many bytes, and says so.
func cut(text string, most int) string {
	text = strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(" ...")-3], "") + " ..."
}
