// Command mcp-stand-in is an MCP server for tests; see package mcpstandin.
package main

import "github.com/voidbox-run/voidbox/internal/mcpstandin"

func main() { mcpstandin.Run() }
