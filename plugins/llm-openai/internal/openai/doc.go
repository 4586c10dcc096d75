// Package openai is the LLM contract over OpenAI's two APIs, and over Codex.
//
// Chat Completions is what nearly every other server speaks too, each in a dialect of its own: some leave out the index of a tool
// call, some its id, some the end mark, and reasoning goes by three names. The reader takes them all. Responses is OpenAI's newer
// one; it is asked to keep nothing (store = false), so that reasoning comes back encrypted and travels through the core as opaque
// state, in its place before the call that it led to.
//
// In CLI mode package codex says how Codex is started and reads what it prints.
package openai
