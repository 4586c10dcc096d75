// Package modelserver is a scripted model server that speaks the protocols of the real ones. It answers from what the tools really
// returned, by rules: when a regular expression matches the last prompt or tool result, the rule's text, with the captured groups
// filled in, is what the model says or does next. A test with it proves that the whole way from the model to the guest and back
// works, since nothing that it says about the guest is written down anywhere else.
//
// What it serves, each in a file of its own:
//
//   - POST /v1/turn: our own protocol, in one JSON document; llm-replay speaks it when its block names a server.
//   - POST /v1/messages: Anthropic's Messages API, streamed or not, with signed thinking that has to come back.
//   - POST /v1/chat/completions and /v1/responses, GET /v1/models: OpenAI's two.
//   - POST /api/chat, /api/show, /api/pull, GET /api/tags, /api/version: Ollama's own.
//
// Claude Code 2.1 and Codex 0.169 work with it. It keeps the requests that it got, so that a test can look at what really
// arrived, and it can be told to misbehave (see Fault) in any way that a server on the internet has been seen to.
package modelserver
