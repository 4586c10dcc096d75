package mcp

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Result is what a tool says, as text.
type Result struct {
	Text  string
	Error bool // the tool says that it failed
}

// resultOf makes a text of an answer. What is no text is named in its place.
func resultOf(answer *mcp.CallToolResult) Result {
	var parts []string
	for _, c := range answer.Content {
		parts = append(parts, textOf(c))
	}
	if len(parts) == 0 && answer.StructuredContent != nil {
		if text, err := json.Marshal(answer.StructuredContent); err == nil {
			parts = append(parts, string(text))
		}
	}
	if answer.NeedsInput() {
		parts = append(parts, "[the tool asks for something that only a user could answer]")
		return Result{Text: strings.Join(parts, "\n"), Error: true}
	}
	return Result{Text: strings.Join(parts, "\n"), Error: answer.IsError}
}

func textOf(c mcp.Content) string {
	switch c := c.(type) {
	case *mcp.TextContent:
		return c.Text
	case *mcp.ImageContent:
		return fmt.Sprintf("[an image, %.100s, %d bytes, which is not shown]", c.MIMEType, len(c.Data))
	case *mcp.AudioContent:
		return fmt.Sprintf("[a sound, %.100s, %d bytes, which is not played]", c.MIMEType, len(c.Data))
	case *mcp.ResourceLink:
		return fmt.Sprintf("[a resource: %.1000s %.200s]", c.URI, c.Name)
	case *mcp.EmbeddedResource:
		if c.Resource == nil {
			return "[an empty resource]"
		}
		if c.Resource.Blob != nil {
			return fmt.Sprintf("[a resource: %.1000s, %.100s, %d bytes, which are not shown]", c.Resource.URI, c.Resource.MIMEType, len(c.Resource.Blob))
		}
		return c.Resource.Text
	}
	return "[something that cannot be shown]"
}
