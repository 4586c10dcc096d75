// Package claudecode knows Claude Code, Anthropic's command-line agent: how it is started inside a sandbox, and what it prints with
// --output-format stream-json. Plugins whose models it can be pointed at share it: llm-claude, and llm-ollama, whose server speaks
// the same API.
//
// What was learnt by running it (2.1.330 and 2.1.332):
//
//   - The prompt comes on standard input, where neither its length nor a dash at its beginning matters.
//   - Its totals stand in the result line only. Usage in assistant lines is that of the moment when the answer began; with
//     --include-partial-messages the events of the API come through, and those are right.
//   - A result may say subtype "success" and be an error; is_error tells.
//   - A model that it does not know has costBasis "unknown", and a cost that is then made up.
//   - Without bash it reports success and has done nothing, and as root it refuses to run unless it is told that it is in a sandbox.
//   - A 401 is tried again for minutes, unless CLAUDE_CODE_MAX_RETRIES says otherwise.
package claudecode
