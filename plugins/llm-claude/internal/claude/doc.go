// Package claude is the LLM contract over Anthropic's Messages API and over Claude Code.
//
// In the native loop a conversation is a POST of /v1/messages whose answer is a stream of events: blocks of text, of thinking and
// of tool use, each opened, filled by deltas and closed. Blocks that only Anthropic understands (thinking with its signature,
// redacted thinking, whatever comes next) travel through the core as opaque state, byte for byte and in their place, because the
// API refuses a conversation in which they are changed.
//
// In CLI mode internal/claudecode says how Claude Code is started and reads what it prints.
package claude
