// Package codex knows Codex, OpenAI's command-line agent: how it is started inside a sandbox, and what `codex exec --json` prints.
//
// It is a static binary. Its provider, its MCP servers and its further instructions stand in $CODEX_HOME/config.toml, which is
// written for the run; it speaks Responses only. The prompt comes on standard input. An item of type error in what it prints may
// be a mere warning: whether the run failed, the turn says.
package codex
