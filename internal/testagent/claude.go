package testagent

import "github.com/voidbox-run/voidbox/internal/modelserver"

// ClaudeRules are a model's that has Claude Code ask its MCP server for the word of the day, ask the system with Bash, and Write both to
// a file; see test/cli/testdata/claude.hcl. thinking is reasoned first.
func ClaudeRules(thinking string) []modelserver.Rule {
	return []modelserver.Rule{
		{Match: "word of the day", Say: "I look the word up.", Thinking: thinking, Call: "mcp__almanac__word_of_the_day", Arguments: "{}",
			Usage: modelserver.Usage{InputTokens: 2000, OutputTokens: 50}},
		{Tool: "mcp__almanac__word_of_the_day", Match: `the word is (\w+)`, Call: "Bash",
			Arguments: `{"command": "echo \"$(uname -s) $(id -u) ${1}\"", "description": "asks the system"}`,
			Usage:     modelserver.Usage{InputTokens: 800, OutputTokens: 40, CacheReadTokens: 1500}},
		{Tool: "Bash", Match: `(\w+) (\d+) (\w+)`, Call: "Write", Arguments: `{"file_path": "/workspace/report.txt", "content": "${1}\n${3}\n"}`,
			Usage: modelserver.Usage{InputTokens: 500, OutputTokens: 60, CacheReadTokens: 2500}},
		{Tool: "Write", Match: `.`, Say: "The report is written.", Usage: modelserver.Usage{InputTokens: 100, OutputTokens: 10, CacheReadTokens: 3000}},
	}
}
