// Package claudestandin stands in for Claude Code where the real one cannot be had: it takes the same arguments and environment,
// prints the same stream of JSON, refuses what the real one refuses, and really runs the commands and writes the files that it
// speaks of, but what it does follows a script. So everything around a command-line agent (how it is started, what is read of it,
// budgets, credentials, sandboxes) is tested in every run of CI. guest/claude-stand-in is the program for VMs; the sandbox in
// memory has it built in, as claude-stand-in.
//
// The scenario comes from $CLAUDE_STAND_IN, or else from a line "scenario: NAME" in the prompt:
//
//   - simple: one answer.
//   - tools: looks at the machine with Bash, writes a file with Write, reads it back, and answers with what it read.
//   - error: a provider that refuses the key: retries, then a result that says "success" and is none.
//   - heavy: 200 calls of tools, a line of 512 KB, unknown lines, text in many scripts.
//   - silent: ends without a result. crash: dies in the middle of a line.
//   - model: asks the Messages API at $ANTHROPIC_BASE_URL, as the real one does, and runs the tools that are called. The default.
package claudestandin
